package servertest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// bounded returns a context that no step of a test outlives, however busy the machine is.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// node is a server that can be stopped and started again on its port and directory.
type node struct {
	options *server.Options
	*server.Server
}

// startNode starts a server with JetStream; its port is its own choice the first time.
func startNode(t *testing.T, options func(*server.Options)) *node {
	t.Helper()
	n := &node{options: &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	if options != nil {
		options(n.options)
	}
	n.start(t)
	t.Cleanup(n.stop)
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	o := n.options.Clone()
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(time.Minute), "the server is not ready")
	n.Server = s
	n.options.Port = s.Addr().(*net.TCPAddr).Port
}

func (n *node) stop() {
	n.Shutdown()
	n.WaitForShutdown()
}

// connect returns a connection that reconnects for ever, at once.
func connect(t *testing.T, n *node, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.Timeout(20*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", n.options.Port), options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// quick are options with which a test waits little for servers that are away.
var quick = jetstream.Options{Patience: 2 * time.Second}

func open(t *testing.T, nc *nats.Conn, name string, o jetstream.Options) *jetstream.Spool {
	t.Helper()
	s, err := jetstream.Open(bounded(t), nc, name, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func text(i uint64) string { return fmt.Sprintf("message %d", i) }
