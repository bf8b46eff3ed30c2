package socket_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// running is a proxy with its Run under way.
type running struct {
	*socket.Proxy
	cancel context.CancelFunc
	ended  chan error
}

// runProxy runs p until the end of the test.
func runProxy(t *testing.T, p *socket.Proxy) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{p, cancel, make(chan error, 1)}
	done := make(chan struct{})
	go func() { // ended and awaited by Cleanup
		defer close(done)
		r.ended <- p.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// end waits for Run to return.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-limit(t).Done():
		require.FailNow(t, "Run did not return")
		return nil
	}
}

// reaches waits until the proxy's counters are as wanted.
func reaches(t *testing.T, p *socket.Proxy, wanted func(socket.ProxyStats) bool) socket.ProxyStats {
	t.Helper()
	require.Eventually(t, func() bool { return wanted(p.Stats()) }, sockettest.Timeout, time.Millisecond)
	return p.Stats()
}

// joinAt binds a at an address of its own and connects all others to it.
func joinAt(t *testing.T, transport, name string, a connector, others ...connector) string {
	t.Helper()
	ep := fresh(t, transport)
	if transport == "inproc" {
		ep += "/" + name
	}
	closing(t, a)
	bound := bind(t, a, ep)
	for _, o := range others {
		closing(t, o)
		require.NoError(t, o.Connect(bound))
	}
	return bound
}

func TestProxy_Queue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back := socket.NewRouter(), socket.NewDealer()
		clients, workers := []*socket.Req{socket.NewReq(), socket.NewReq()}, []*socket.Rep{socket.NewRep(), socket.NewRep()}
		joinAt(t, transport, "front", front, clients[0], clients[1])
		joinAt(t, transport, "back", back, workers[0], workers[1])
		p := runProxy(t, socket.NewProxy(front, back))
		for _, w := range workers {
			go func() { // ends with the socket
				for m := range w.Messages(context.Background()) {
					assert.NoError(t, w.Send(context.Background(), append(m.Frames, text("done"))...))
				}
			}()
		}
		const n = 50
		for i := range n {
			for j, c := range clients {
				m, err := c.Request(limit(t), fmt.Appendf(nil, "%d.%d", j, i), nil, text("body"))
				require.NoError(t, err)
				require.Equal(t, bodies(fmt.Sprintf("%d.%d", j, i), "", "body", "done"), m.Frames)
			}
		}
		s := reaches(t, p.Proxy, func(s socket.ProxyStats) bool { return s.Frontend.MessagesOut == 2*n && s.Backend.MessagesOut == 2*n })
		assert.Equal(t, uint64(2*n), s.Frontend.MessagesIn)
		assert.Equal(t, uint64(2*n), s.Backend.MessagesOut)
		assert.Equal(t, s.Frontend.BytesIn, s.Backend.BytesOut)
		assert.Equal(t, s.Frontend.BytesIn+2*n*4, s.Backend.BytesIn, "each reply has four bytes more")
		assert.Zero(t, s.Frontend.InHand+s.Backend.InHand)
	})
}

func TestProxy_Forwarder(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back := socket.NewXSub(), socket.NewXPub()
		pub, early, late := socket.NewXPub(), socket.NewSub(), socket.NewSub()
		joinAt(t, transport, "front", front, pub)
		ep := joinAt(t, transport, "back", back, early)
		p := runProxy(t, socket.NewProxy(front, back))
		require.NoError(t, early.Subscribe("a"))
		requireMsg(t, recv(t, pub), "\x01a")
		send(t, pub, "b", "nobody asked")
		send(t, pub, "apple", "1")
		requireMsg(t, recv(t, early), "apple", "1")

		closing(t, late)
		require.NoError(t, late.Subscribe("a", "c"))
		require.NoError(t, late.Connect(ep))
		requireMsg(t, recv(t, pub), "\x01c") // the second subscription to a topic is not shown
		send(t, pub, "cherry", "2")
		requireMsg(t, recv(t, late), "cherry", "2")

		require.NoError(t, late.Close()) // whose cancellations the proxy makes up
		requireMsg(t, recv(t, pub), "\x00c")
		require.NoError(t, early.Unsubscribe("a"))
		requireMsg(t, recv(t, pub), "\x00a")
		assert.Equal(t, uint64(2), p.Stats().Frontend.MessagesIn, "what nobody asked for does not reach the proxy")
	})
}

// TestProxy_Streamer: a receiver that reads nothing stops the proxy, and with it the sender; nothing is lost.
func TestProxy_Streamer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back := socket.NewPull(socket.WithRecvHWM(5)), socket.NewPush(socket.WithSendHWM(5))
		push, pull := socket.NewPush(socket.WithSendHWM(5)), socket.NewPull(socket.WithRecvHWM(5))
		joinAt(t, transport, "front", front, push)
		joinAt(t, transport, "back", back, pull)
		p := runProxy(t, socket.NewProxy(front, back))
		n := fill(t, push, 64<<10)
		for i := range n {
			require.Equal(t, i, ordinalOf(recv(t, pull)))
		}
		_, err := pull.Recv(soon(t))
		require.ErrorIs(t, err, socket.ErrTimeout)
		assert.Equal(t, uint64(n*64<<10), p.Stats().Frontend.BytesIn)
	})
}

// TestProxy_WaysAreIndependent: a way that is blocked does not hold up the other. Not over TCP: where the reader of one direction stops, Linux 6.18 may hold
// up the other (see DECISIONS.md).
func TestProxy_WaysAreIndependent(t *testing.T) {
	t.Parallel()
	front, back := socket.NewPair(), socket.NewPair(socket.WithSendHWM(1))
	left, right := socket.NewPair(), socket.NewPair()
	joinAt(t, "ipc", "front", front, left)
	closing(t, back)
	p := runProxy(t, socket.NewProxy(front, back)) // back has no peer yet
	send(t, left, "waits")
	reaches(t, p.Proxy, func(s socket.ProxyStats) bool { return s.Frontend.InHand == 1 })
	require.NoError(t, back.Connect(joinAt(t, "ipc", "back", right)))
	requireMsg(t, recv(t, right), "waits")
	n := fill(t, left, 64<<10) // right reads nothing more
	for i := range 100 {
		require.NoError(t, right.Send(limit(t), ordinal(i, 8)))
		require.Equal(t, i, ordinalOf(recv(t, left)))
	}
	for i := range n {
		require.Equal(t, i, ordinalOf(recv(t, right)))
	}
}

func TestProxy_OneSocket(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router, a, b := socket.NewRouter(), socket.NewDealer(), socket.NewDealer()
		joinAt(t, transport, "", router, a, b)
		p := runProxy(t, socket.NewProxy(router, router))
		send(t, a, "to a", "and back")
		send(t, b, "to b")
		requireMsg(t, recv(t, a), "to a", "and back")
		requireMsg(t, recv(t, b), "to b")
		s := reaches(t, p.Proxy, func(s socket.ProxyStats) bool { return s.Backend.MessagesOut == 2 })
		assert.Equal(t, uint64(2), s.Frontend.MessagesIn)
		assert.Zero(t, s.Frontend.MessagesOut+s.Backend.MessagesIn)
	})
}

func TestProxy_EndsThatDoNotFit(t *testing.T) {
	t.Parallel()
	pull, push, dealer, router := socket.NewPull(), socket.NewPush(), socket.NewDealer(), socket.NewRouter()
	closing(t, pull, push, dealer, router)
	tests := []struct {
		proxy *socket.Proxy
		names string
	}{
		{socket.NewProxy(nil, push), "the frontend is nil"},
		{socket.NewProxy(pull, nil), "the backend is nil"},
		{socket.NewProxy(push, push), "between a PUSH and a PUSH"},
		{socket.NewProxy(pull, pull), "between a PULL and a PULL"},
		{socket.NewProxy(socket.NewRep(), dealer), "REP"},
		{socket.NewProxy(router, socket.NewReq()), "want DEALER or ROUTER"},
		{socket.NewProxy(router, dealer, socket.WithCapture(pull)), "WithCapture(PULL)"},
		{socket.NewProxy(router, dealer, socket.WithCapture(nil)), "WithCapture(nil)"},
		{socket.NewProxy(router, dealer, socket.WithCapture(dealer)), "it is the backend"},
		{socket.NewProxy(router, dealer, socket.WithCaptureWait()), "without WithCapture"},
		{socket.NewProxy(router, dealer, socket.WithRouteWait(-1)), "WithRouteWait(-1ns)"},
		{socket.NewProxy(socket.NewPull(socket.WithImmediate()), push), "WithImmediate on a PULL"},
	}
	for _, test := range tests {
		for _, call := range []func(context.Context) error{test.proxy.Run, test.proxy.Drain} {
			err := call(limit(t))
			assert.ErrorIs(t, err, socket.ErrOption, test.names)
			assert.ErrorContains(t, err, test.names)
		}
		test.proxy.Pause() // do no harm
		test.proxy.Resume()
		test.proxy.Terminate()
		assert.Zero(t, test.proxy.Stats().Frontend)
	}
}

func TestProxy_RunsOnce(t *testing.T) {
	t.Parallel()
	front, back := socket.NewPull(), socket.NewPush()
	pull := socket.NewPull()
	joinAt(t, "inproc", "back", back, pull)
	push := socket.NewPush()
	joinAt(t, "inproc", "front", front, push)
	p := runProxy(t, socket.NewProxy(front, back))
	send(t, push, "x")
	recv(t, pull) // it runs
	assert.ErrorIs(t, p.Run(limit(t)), socket.ErrState)
	assert.ErrorIs(t, p.Drain(limit(t)), socket.ErrState)
	p.Terminate()
	assert.NoError(t, p.end(t))
	assert.NoError(t, p.Run(limit(t)), "a terminated proxy does not run")
}

func TestProxy_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	front, back := socket.NewDealer(), socket.NewDealer()
	closing(t, front, back)
	p := socket.NewProxy(front, back)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("a cause of the caller's"))
	defer cancel()
	err := p.Run(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, socket.ErrTimeout)
	assert.ErrorIs(t, p.Run(try()), context.Canceled)
	assert.ErrorIs(t, p.Drain(try()), context.Canceled)
	assert.NoError(t, p.Drain(limit(t)), "there is nothing")
}
