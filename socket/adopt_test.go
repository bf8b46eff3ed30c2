package socket_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

func TestBindListener(t *testing.T) {
	t.Parallel()
	pull, push := socket.NewPull(), socket.NewPush(swift())
	closing(t, pull, push)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	endpoint, err := pull.BindListener(ln)
	require.NoError(t, err)
	assert.Equal(t, "tcp://"+ln.Addr().String(), endpoint)
	require.NoError(t, push.Connect(endpoint))
	send(t, push, "hello")
	requireMsg(t, recv(t, pull), "hello")

	require.NoError(t, pull.Unbind(endpoint))
	_, err = ln.Accept()
	assert.ErrorIs(t, err, net.ErrClosed, "Unbind closes the listener")
	send(t, push, "still")
	requireMsg(t, recv(t, pull), "still")
}

// A listener that ends Accept with an error of its own must not keep Unbind or Close waiting.
func TestBindListener_AnyListener(t *testing.T) {
	t.Parallel()
	pull, push := socket.NewPull(), socket.NewPush()
	closing(t, pull, push)
	ln := newPipeListener()
	endpoint, err := pull.BindListener(ln)
	require.NoError(t, err)
	assert.Equal(t, "pipe://pipe", endpoint)
	_, err = pull.BindListener(newPipeListener())
	assert.ErrorContains(t, err, "bound here already")

	near, far := net.Pipe()
	ln.conns <- far
	require.NoError(t, push.Attach(near))
	send(t, push, "hello", "world")
	requireMsg(t, recv(t, pull), "hello", "world")
	require.NoError(t, pull.Unbind(endpoint))
}

func TestBindListener_FailureLeavesTheListener(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull()
	_, err := pull.BindListener(nil)
	require.Error(t, err)
	require.NoError(t, pull.Close())
	ln := newPipeListener()
	_, err = pull.BindListener(ln)
	require.ErrorIs(t, err, socket.ErrClosed)
	assert.NoError(t, ln.Close(), "it is still open")
}

// pipeListener hands out what is put into conns.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, assert.AnError
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	conn, _ := net.Pipe()
	return conn.LocalAddr()
}

func TestAttach_Pipe(t *testing.T) {
	t.Parallel()
	req, rep := socket.NewReq(), socket.NewRep()
	closing(t, req, rep)
	near, far := net.Pipe()
	gone := watch(t, rep)
	require.NoError(t, req.Attach(near))
	require.NoError(t, rep.Attach(far))
	for _, body := range []string{"", "small", string(make([]byte, 1<<20))} {
		go func() {
			m, err := rep.Recv(limit(t))
			if assert.NoError(t, err) {
				assert.NoError(t, rep.Send(limit(t), m.Frames...))
			}
		}()
		m, err := req.Request(limit(t), text(body))
		require.NoError(t, err)
		requireMsg(t, m, body)
	}
	require.NoError(t, req.Close())
	e := gone(socket.Disconnected)
	assert.NoError(t, e.Err, "the peer closed in order")
	assert.Equal(t, "pipe://pipe", e.Endpoint)
	_, err := far.Write([]byte("x"))
	assert.Error(t, err, "the socket owns the connection")
}

func TestAttach_TLS(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	pub, sub := socket.NewPub(), socket.NewSub()
	closing(t, pub, sub)
	require.NoError(t, sub.Subscribe("a"))
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	_, err = pub.BindListener(ln)
	require.NoError(t, err)
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	require.NoError(t, err)
	require.NoError(t, sub.Attach(conn))
	require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
	send(t, pub, "abc", "def")
	requireMsg(t, recv(t, sub), "abc", "def")
}

// Two sockets that do not fit refuse each other in words, also where nothing is buffered between them.
func TestAttach_Refused(t *testing.T) {
	t.Parallel()
	push, sub := socket.NewPush(), socket.NewSub()
	closing(t, push, sub)
	failed := watch(t, push)
	near, far := net.Pipe()
	require.NoError(t, push.Attach(near))
	require.NoError(t, sub.Attach(far))
	assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, "SUB")
	assert.ErrorIs(t, push.Send(try(), text("x")), socket.ErrNoPeer)
}

func TestAttach_NotPossible(t *testing.T) {
	t.Parallel()
	push := socket.NewPush()
	require.Error(t, push.Attach(nil))
	require.NoError(t, push.Close())
	near, far := net.Pipe()
	defer near.Close()
	require.ErrorIs(t, push.Attach(near), socket.ErrClosed)
	go far.Close()
	_, err := near.Read(make([]byte, 1))
	assert.Error(t, err)
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
}
