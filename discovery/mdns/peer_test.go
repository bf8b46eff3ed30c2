package mdns

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
)

// peerEnv makes the test program a peer: it holds a peerJob as JSON.
const peerEnv = "MESHMQ_TEST_MDNS_PEER"

// peerJob is what a peer program does until its standard input ends.
type peerJob struct {
	TTL        time.Duration      // 0: the default
	Interfaces []string           // none: the default
	Announce   discovery.Instance // none if it has no ID
	Watch      string             // a service whose events are printed, one JSON object a line
}

func peerMain() int {
	var job peerJob
	err := json.Unmarshal([]byte(os.Getenv(peerEnv)), &job)
	if err == nil {
		err = job.run()
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func (j peerJob) run() error {
	opts := []Option{WithTTL(cmp.Or(j.TTL, defaultTTL))}
	if len(j.Interfaces) > 0 {
		opts = append(opts, WithInterfaces(j.Interfaces...))
	}
	r, err := New(opts...)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if j.Announce.ID != "" {
		if _, err := r.Announce(context.Background(), j.Announce); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	out := json.NewEncoder(os.Stdout)
	for e, err := range r.Watch(ctx, j.Watch) {
		if err := errors.Join(err, out.Encode(e)); err != nil {
			return err
		}
	}
	return nil
}

// peer is a peer program at work.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string // closed at the end of its output
}

// startPeer starts a peer program, by way of a command that precedes it if there is one, and
// waits until it is ready. The end of the test ends it.
func startPeer(t *testing.T, job peerJob, by ...string) *program {
	t.Helper()
	p := spawnPeer(t, job, by...)
	require.Equal(t, "ready", p.line())
	return p
}

func spawnPeer(t *testing.T, job peerJob, by ...string) *program {
	t.Helper()
	text, err := json.Marshal(job)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	argv := append(by, self)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), peerEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &program{t: t, cmd: cmd, stdin: stdin, lines: make(chan string, 256)}
	go func() { // ends with the program
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		for range p.lines {
		}
		cmd.Wait()
	})
	return p
}

// line returns the next line the program prints.
func (p *program) line() string {
	p.t.Helper()
	select {
	case s, ok := <-p.lines:
		require.True(p.t, ok, "peer program ended")
		return s
	case <-time.After(2 * time.Minute):
		require.FailNow(p.t, "peer program prints nothing")
		return ""
	}
}

// event returns the next event it prints.
func (p *program) event() discovery.Event {
	p.t.Helper()
	line := p.line()
	var e discovery.Event
	require.NoError(p.t, json.NewDecoder(strings.NewReader(line)).Decode(&e), line)
	return e
}

// leave ends it cleanly, kill does not.
func (p *program) leave() { p.stdin.Close() }

func (p *program) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
}
