package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// eachTransport runs a test over tcp and inproc.
func eachTransport(t *testing.T, test func(t *testing.T, transport string)) {
	for _, name := range []string{"tcp", "inproc"} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, name) })
	}
}

// try makes a call a try, soon is a limit for what is expected not to happen, limit one for what must.
func try() context.Context               { return sockettest.Try() }
func soon(t *testing.T) context.Context  { return sockettest.Soon(t) }
func limit(t *testing.T) context.Context { return sockettest.Limit(t) }

// swift makes sockets reconnect without keeping a test waiting.
func swift() socket.Option { return socket.WithReconnect(time.Millisecond, 5*time.Millisecond) }

type connector interface {
	Bind(string) (string, error)
	Unbind(string) error
	Connect(string) error
	Disconnect(string) error
	Stats() socket.Stats
	WaitPeers(context.Context, int) error
	Events(context.Context) iter.Seq[socket.Event]
	Close() error
}

type recver interface {
	Recv(context.Context) (socket.Msg, error)
}

type sender interface {
	Send(context.Context, ...[]byte) error
}

// closing closes sockets at the end of the test, the last one first.
func closing(t *testing.T, sockets ...io.Closer) {
	for _, s := range sockets {
		t.Cleanup(func() {
			if err := s.Close(); err != nil { // some tests leave messages that nobody takes
				assert.ErrorContains(t, err, "messages were not sent")
			}
		})
	}
}

var names atomic.Int64

// fresh is an endpoint of the transport to bind to.
func fresh(transport string) string {
	return map[string]string{"tcp": "tcp://127.0.0.1:0", "ipc": "ipc://*", "inproc": fmt.Sprint("inproc://", names.Add(1))}[transport]
}

// unbound is an endpoint that nobody is bound to, but anybody may.
func unbound(t *testing.T, transport string) string {
	t.Helper()
	if transport == "tcp" {
		return sockettest.Unused(t)
	}
	return fresh(transport)
}

func bind(t *testing.T, s connector, endpoint string) (bound string) {
	t.Helper()
	bound, err := s.Bind(endpoint)
	require.NoError(t, err)
	return bound
}

// bound binds s to a fresh endpoint of the transport and closes it in the end.
func bound(t *testing.T, transport string, s connector) (endpoint string) {
	t.Helper()
	closing(t, s)
	return bind(t, s, fresh(transport))
}

func connect(t *testing.T, s connector, endpoint string) {
	t.Helper()
	require.NoError(t, s.Connect(endpoint))
}

// join binds a on a fresh endpoint, connects the others to it, and returns when all are connected.
func join(t *testing.T, transport string, a connector, others ...connector) (endpoint string) {
	t.Helper()
	endpoint = bound(t, transport, a)
	for _, b := range others {
		closing(t, b)
		connect(t, b, endpoint)
		awaitPeers(t, b, 1)
	}
	awaitPeers(t, a, len(others))
	return endpoint
}

func awaitPeers(t *testing.T, s connector, n int) {
	t.Helper()
	require.NoError(t, s.WaitPeers(limit(t), n))
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, why ...any) {
	t.Helper()
	require.Eventually(t, condition, sockettest.Timeout, time.Millisecond, why...)
}

// awaitInbox waits until n messages lie in the inboxes of s.
func awaitInbox(t *testing.T, s connector, n int) {
	t.Helper()
	eventually(t, func() bool {
		have := 0
		for _, peer := range s.Stats().Peers {
			have += peer.InboxMessages
		}
		return have >= n
	}, "messages in the inbox")
}

func recv(t *testing.T, s recver) socket.Msg {
	t.Helper()
	m, err := s.Recv(limit(t))
	require.NoError(t, err)
	return m
}

// requireRecv receives one message and requires it to have these frames.
func requireRecv(t *testing.T, s recver, frames ...string) {
	t.Helper()
	require.Equal(t, frames, texts(recv(t, s).Frames))
}

// requireNothing requires that nothing is there to receive, nor comes for a moment.
func requireNothing(t *testing.T, s recver) {
	t.Helper()
	m, err := s.Recv(soon(t))
	require.ErrorIs(t, err, socket.ErrTimeout, "%q", m.Frames)
}

func send(t *testing.T, s sender, frames ...string) {
	t.Helper()
	require.NoError(t, s.Send(limit(t), bodies(frames...)...))
}

// trySend sends without waiting.
func trySend(s sender, frames ...string) error { return s.Send(try(), bodies(frames...)...) }

func bodies(frames ...string) (out [][]byte) {
	for _, f := range frames {
		out = append(out, []byte(f))
	}
	return out
}

func texts(frames [][]byte) (out []string) {
	for _, f := range frames {
		out = append(out, string(f))
	}
	return out
}

// watch opens a stream of s's events. The function that it returns waits for the next one of a kind.
func watch(t *testing.T, s connector) (await func(socket.EventKind) socket.Event) {
	next, stop := iter.Pull(s.Events(limit(t)))
	t.Cleanup(stop)
	return func(kind socket.EventKind) socket.Event {
		t.Helper()
		for {
			e, ok := next()
			require.True(t, ok, "no event: %s", kind)
			if e.Kind == kind {
				return e
			}
		}
	}
}

// dialRaw connects a raw peer to an endpoint that a socket is bound to.
func dialRaw(t *testing.T, endpoint string) *sockettest.RawPeer {
	t.Helper()
	ep, err := transport.ParseConnect(endpoint)
	require.NoError(t, err)
	conn, err := ep.Dial(limit(t))
	require.NoError(t, err)
	return sockettest.NewRaw(t, conn)
}

// rawPeer connects a raw peer to a socket and does the handshake as a ZMTP 3.1 peer of a socket type.
func rawPeer(t *testing.T, endpoint, socketType string, properties ...sockettest.Property) *sockettest.RawPeer {
	t.Helper()
	raw := dialRaw(t, endpoint)
	raw.Handshake(socketType, 1, properties...)
	return raw
}

// rawListener is where sockets connect to reach a raw peer.
type rawListener struct {
	t        *testing.T
	l        transport.Listener
	Endpoint string
}

// listenRaw listens until the test ends, or Close.
func listenRaw(t *testing.T, endpoint string) *rawListener {
	t.Helper()
	ep, err := transport.ParseBind(endpoint)
	require.NoError(t, err)
	l, err := ep.Listen(limit(t))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return &rawListener{t, l, l.Endpoint()}
}

func (l *rawListener) Close() { l.l.Close() }

// Accept waits for the next connection.
func (l *rawListener) Accept() *sockettest.RawPeer {
	l.t.Helper()
	stop := context.AfterFunc(limit(l.t), l.Close)
	defer stop()
	conn, err := l.l.Accept()
	if errors.Is(err, net.ErrClosed) {
		require.Fail(l.t, "nobody connected", l.Endpoint)
	}
	require.NoError(l.t, err)
	return sockettest.NewRaw(l.t, conn)
}

// Peer waits for the next connection and does the handshake as a ZMTP 3.1 peer of a socket type.
func (l *rawListener) Peer(socketType string, properties ...sockettest.Property) *sockettest.RawPeer {
	l.t.Helper()
	raw := l.Accept()
	raw.Handshake(socketType, 1, properties...)
	return raw
}
