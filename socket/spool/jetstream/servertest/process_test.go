package servertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// process is a server of a cluster in a process of its own, which can be killed.
type process struct {
	Name   string
	Client int
	Route  int
	Routes []string
	Dir    string

	cmd *exec.Cmd
	in  io.Closer
}

// serverEnv has TestServerChild be such a process.
const serverEnv = "MESHMQ_JETSTREAM_SERVER"

// TestServerChild is a server until it is killed or its input ends.
func TestServerChild(t *testing.T) {
	var p process
	if said := os.Getenv(serverEnv); said == "" {
		t.Skip("runs as a child of TestFault46_ServerKilled")
	} else {
		require.NoError(t, json.Unmarshal([]byte(said), &p))
	}
	o := &server.Options{
		ServerName: p.Name, Host: "127.0.0.1", Port: p.Client, JetStream: true, StoreDir: p.Dir, NoSigs: true, NoLog: true,
		Cluster: server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: p.Route},
	}
	for _, route := range p.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: route})
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(time.Minute), "the server is not ready")
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
}

// startProcesses starts three servers that know each other.
func startProcesses(t *testing.T) []*process {
	t.Helper()
	var all []*process
	var routes []string
	for i := range 3 {
		p := &process{Name: fmt.Sprint("server-", i), Client: unused(t), Route: unused(t), Dir: t.TempDir()}
		routes = append(routes, fmt.Sprint("127.0.0.1:", p.Route))
		all = append(all, p)
	}
	for _, p := range all {
		p.Routes = routes
		p.start(t)
		t.Cleanup(p.kill)
	}
	return all
}

func unused(t *testing.T) int {
	t.Helper()
	at, err := netip.ParseAddrPort(strings.TrimPrefix(sockettest.Unused(t), "tcp://"))
	require.NoError(t, err)
	return int(at.Port())
}

func (p *process) url() string { return fmt.Sprint("nats://127.0.0.1:", p.Client) }

func (p *process) start(t *testing.T) {
	t.Helper()
	said, err := json.Marshal(p)
	require.NoError(t, err)
	p.cmd = exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestServerChild$", "-test.timeout=0")
	p.cmd.Env = append(os.Environ(), serverEnv+"="+string(said))
	p.cmd.Stderr = os.Stderr
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
}

// kill is SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.in.Close()
}
