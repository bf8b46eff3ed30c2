package zmq4_test

import (
	"bytes"
	"context"
	"log"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	theirs "github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
	"github.com/go-zeromq/zmq4/security/plain"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	zmq4 "github.com/meshmq/meshmq/socket/zmq4compat"
)

var constructors = map[zmq4.SocketType]constructor{
	zmq4.Pair: zmq4.NewPair, zmq4.Req: zmq4.NewReq, zmq4.Rep: zmq4.NewRep, zmq4.Dealer: zmq4.NewDealer, zmq4.Router: zmq4.NewRouter,
	zmq4.Pub: zmq4.NewPub, zmq4.Sub: zmq4.NewSub, zmq4.XPub: zmq4.NewXPub, zmq4.XSub: zmq4.NewXSub, zmq4.Push: zmq4.NewPush, zmq4.Pull: zmq4.NewPull,
}

// forever is no context at all, which go-zeromq allows.
var forever context.Context

// TestSockets: what all types have.
func TestSockets(t *testing.T) {
	t.Parallel()
	for typ, construct := range constructors {
		s := construct(forever, zmq4.WithID(zmq4.SocketIdentity("id")))
		assert.Equal(t, typ, s.Type())
		assert.Nil(t, s.Addr())
		_, err := s.GetOption(zmq4.OptionHWM)
		assert.ErrorIs(t, err, zmq4.ErrBadProperty)
		assert.ErrorIs(t, s.SetOption("LINGER", 1), zmq4.ErrBadProperty)
		require.NoError(t, s.Listen("tcp://127.0.0.1:0"))
		assert.NotZero(t, s.Addr().(*net.TCPAddr).Port)
		_, hasTopics := s.(zmq4.Topics)
		assert.Equal(t, typ == zmq4.Pub || typ == zmq4.Sub || typ == zmq4.XPub, hasTopics)
		if typ == zmq4.Pub || typ == zmq4.Push {
			_, err := s.Recv()
			assert.ErrorIs(t, err, socket.ErrState)
		}
		if typ == zmq4.Pull {
			assert.ErrorIs(t, s.Send(zmq4.NewMsg(nil)), socket.ErrState)
		}
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		ended(t, s)
	}
}

// ended checks that every call says that the socket's life is over.
func ended(t *testing.T, s zmq4.Socket) {
	t.Helper()
	for _, err := range []error{s.Listen("tcp://127.0.0.1:0"), s.Dial("tcp://127.0.0.1:1")} {
		assert.ErrorIs(t, err, context.Canceled, s.Type())
	}
	if s.Type() != zmq4.Push && s.Type() != zmq4.Pub && s.Type() != zmq4.Req {
		_, err := s.Recv()
		assert.Equal(t, context.Canceled, err, s.Type()) // programs compare it, too
	}
	if s.Type() != zmq4.Pull && s.Type() != zmq4.Sub {
		assert.Equal(t, context.Canceled, s.Send(zmq4.NewMsgFromString([]string{"x", "y"})), s.Type())
	}
}

// TestContextIsTheLife of a socket, which needs no Close then.
func TestContextIsTheLife(t *testing.T) {
	t.Parallel()
	for typ, construct := range constructors {
		ctx, cancel := context.WithCancel(t.Context())
		s := construct(ctx)
		require.NoError(t, s.Listen("tcp://127.0.0.1:0"))
		endpoint := "tcp://" + s.Addr().String()
		waiting := make(chan error, 1)
		if typ != zmq4.Push && typ != zmq4.Pub && typ != zmq4.Req {
			go func() {
				_, err := s.Recv()
				waiting <- err
			}()
		} else {
			waiting <- context.Canceled
		}
		cancel()
		assert.ErrorIs(t, <-waiting, context.Canceled, typ)
		ended(t, s)
		require.Eventually(t, func() bool { // the address is free again
			ln, err := net.Listen("tcp", endpoint[len("tcp://"):])
			if err == nil {
				ln.Close()
			}
			return err == nil
		}, patience, time.Millisecond)
	}
}

// TestDialWaitsForListen for as long as the retries say.
func TestDialWaitsForListen(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{unused(t), "inproc://" + t.Name()} {
		t.Run(endpoint[:3], func(t *testing.T) {
			t.Parallel()
			push, pull := open(t, zmq4.NewPush, zmq4.WithDialerRetry(time.Millisecond), zmq4.WithDialerMaxRetries(-1)), open(t, zmq4.NewPull)
			dialed := make(chan error, 1)
			go func() { dialed <- push.Dial(endpoint) }()
			select {
			case err := <-dialed:
				t.Fatal("Dial returned", err)
			case <-time.After(brief):
			}
			require.NoError(t, pull.Listen(endpoint))
			require.NoError(t, <-dialed)
			require.NoError(t, push.Dial(endpoint), "it is connected")
			send(t, push, "x")
			recv(t, pull, "x")
		})
	}
}

func TestDialGivesUp(t *testing.T) {
	t.Parallel()
	rep := open(t, zmq4.NewRep)
	for _, endpoint := range []string{unused(t), "inproc://" + t.Name(), listen(t, rep)} { // nobody, nobody, the wrong type
		push := open(t, zmq4.NewPush, zmq4.WithDialerRetry(time.Millisecond), zmq4.WithDialerMaxRetries(3), zmq4.WithTimeout(brief))
		err := push.Dial(endpoint)
		assert.ErrorContains(t, err, "dial "+endpoint)
		assert.ErrorIs(t, push.Send(zmq4.NewMsgString("x")), socket.ErrNoPeer, "the endpoint is given up")
	}
}

// TestWithoutReconnect: a connection that is lost is gone, and nothing is queued for it.
func TestWithoutReconnect(t *testing.T) {
	t.Parallel()
	push := open(t, zmq4.NewPush, zmq4.WithAutomaticReconnect(false), zmq4.WithTimeout(brief), zmq4.WithDialerRetry(time.Minute))
	pull := open(t, zmq4.NewPull)
	endpoint := join(t, pull, push)
	require.NoError(t, pull.Close())
	require.Eventually(t, func() bool { return push.Send(zmq4.NewMsgString("x")) != nil }, patience, time.Millisecond)
	assert.ErrorIs(t, push.Send(zmq4.NewMsgString("x")), socket.ErrNoPeer)
	again := open(t, zmq4.NewPull)
	require.NoError(t, again.Listen(endpoint))
	require.NoError(t, push.Dial(endpoint), "a new Dial is a new connection")
	send(t, push, "back")
	recv(t, again, "back")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"tcp://*:0", "tcp://:0", "tcp://*:*", "tcp://127.0.0.1:", "tcp://localhost:0"} {
		pull, push := open(t, zmq4.NewPull), open(t, zmq4.NewPush)
		require.NoError(t, pull.Listen(listen), listen)
		_, port, err := net.SplitHostPort(pull.Addr().String())
		require.NoError(t, err)
		for _, host := range []string{"127.0.0.1", "*", "", "0.0.0.0"} {
			require.NoError(t, push.Dial("tcp://"+host+":"+port), host)
		}
		send(t, push, "x")
		recv(t, pull, "x")
	}
	path := filepath.Join(t.TempDir(), "s")
	pull, push := open(t, zmq4.NewPull), open(t, zmq4.NewPush)
	require.NoError(t, pull.Listen("ipc://"+path))
	assert.Equal(t, path, pull.Addr().String())
	assert.Equal(t, "unix", pull.Addr().Network())
	require.NoError(t, push.Dial("ipc://"+path))
	require.NoError(t, pull.Listen("inproc://"+t.Name()))
	assert.Equal(t, "inproc", pull.Addr().Network())
	assert.Equal(t, t.Name(), pull.Addr().String())
	require.NoError(t, push.Dial("inproc://"+t.Name()))
	require.NoError(t, pull.Close())
	assert.NoFileExists(t, path)
	for _, bad := range []string{"", "localhost:1", "udp://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:no", "inproc://"} {
		assert.ErrorIs(t, push.Listen(bad), errEndpoint(bad), bad)
		assert.ErrorIs(t, push.Dial(bad), errEndpoint(bad), bad)
	}
	assert.Subset(t, zmq4.Transports(), []string{"inproc", "ipc", "tcp"})
}

// errEndpoint is what a bad endpoint is refused with.
func errEndpoint(ep string) error {
	if len(ep) > 3 && ep[:3] == "udp" {
		return theirs.UnknownTransportError{Name: "udp"}
	}
	return socket.ErrEndpoint
}

// TestOptionsThatCannotBeHad: every call says so.
func TestOptionsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for names, opt := range map[string]zmq4.Option{
		"WithSecurity(PLAIN)": zmq4.WithSecurity(plain.Security("user", "password")),
		"WithIdentity":        zmq4.WithID(zmq4.SocketIdentity(make([]byte, 256))),
	} {
		s := open(t, zmq4.NewDealer, opt)
		_, err := s.Recv()
		for _, err := range []error{
			err, s.Send(zmq4.NewMsg(nil)), s.Listen("tcp://127.0.0.1:0"), s.Dial("tcp://127.0.0.1:1"), s.SetOption(zmq4.OptionHWM, 1),
			zmq4.NewProxy(t.Context(), s, open(t, zmq4.NewDealer), nil).Run(),
		} {
			assert.ErrorIs(t, err, socket.ErrOption)
			assert.ErrorContains(t, err, names)
		}
	}
	pull, push := open(t, zmq4.NewPull, zmq4.WithSecurity(nil)), open(t, zmq4.NewPush, zmq4.WithSecurity(null.Security()))
	join(t, pull, push)
	send(t, push, "x")
	recv(t, pull, "x")
}

// TestProxyOfOthers: a proxy needs to see inside its sockets.
func TestProxyOfOthers(t *testing.T) {
	t.Parallel()
	ours := open(t, zmq4.NewDealer)
	other := struct{ zmq4.Socket }{ours}
	for _, p := range []*zmq4.Proxy{
		zmq4.NewProxy(forever, other, ours, nil), zmq4.NewProxy(forever, ours, nil, nil), zmq4.NewProxy(t.Context(), ours, ours, other),
	} {
		assert.ErrorIs(t, p.Run(), socket.ErrOption)
		p.Kill()
	}
}

// TestWithTimeout: what is there needs no time, what is not is waited for.
func TestWithTimeout(t *testing.T) {
	t.Parallel()
	a, b := open(t, zmq4.NewPair, zmq4.WithTimeout(-1)), open(t, zmq4.NewPair, zmq4.WithTimeout(brief))
	join(t, a, b)
	for _, s := range []zmq4.Socket{a, b} {
		_, err := s.Recv()
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	}
	for from, to := range map[zmq4.Socket]zmq4.Socket{a: b, b: a} {
		sendSoon(t, from, "x")
		require.Eventually(t, func() bool { m, err := to.Recv(); return err == nil && string(m.Bytes()) == "x" }, patience, time.Millisecond)
	}
}

// TestWithLogger: the socket says what it has trouble with, where it is wanted.
func TestWithLogger(t *testing.T) {
	t.Parallel()
	var out lines
	pull := open(t, zmq4.NewPull, zmq4.WithLogger(log.New(&out, "", 0)))
	rep := open(t, zmq4.NewRep, zmq4.WithDialerMaxRetries(0))
	assert.Error(t, rep.Dial(listen(t, pull)))
	require.Eventually(t, func() bool { return bytes.Contains(out.all(), []byte("handshake failed")) }, patience, time.Millisecond)
}

// lines is a writer that may be read meanwhile.
type lines struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	return len(b), nil
}

func (l *lines) all() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.buf)
}
