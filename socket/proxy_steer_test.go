package socket_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// streamer is a proxy from push to pull, not running yet.
func streamer(t *testing.T, opts ...socket.ProxyOption) (p *socket.Proxy, push *socket.Push, pull *socket.Pull) {
	front, back := socket.NewPull(), socket.NewPush()
	push, pull = socket.NewPush(), socket.NewPull()
	joinAt(t, "tcp", "front", front, push)
	joinAt(t, "tcp", "back", back, pull)
	require.NoError(t, back.WaitPeers(limit(t), 1))
	return socket.NewProxy(front, back, opts...), push, pull
}

func TestProxy_PauseAndResume(t *testing.T) {
	t.Parallel()
	p, push, pull := streamer(t)
	p.Pause() // before Run, too
	r := runProxy(t, p)
	numbered(t, push, 0, 10, 8)
	_, err := pull.Recv(soon(t))
	require.ErrorIs(t, err, socket.ErrTimeout)
	assert.True(t, p.Stats().Paused)
	assert.Zero(t, p.Stats().Frontend.MessagesIn)
	p.Resume()
	for i := range 10 {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
	for round := 1; round < 5; round++ {
		p.Pause()
		p.Pause()
		before := p.Stats().Frontend.MessagesIn
		numbered(t, push, 10*round, 10*round+10, 8)
		assert.Equal(t, before, p.Stats().Frontend.MessagesIn, "nothing is taken once Pause has returned")
		p.Resume()
		p.Resume()
		for i := range 10 {
			require.Equal(t, 10*round+i, ordinalOf(recv(t, pull)))
		}
	}
	p.Pause()
	p.Terminate()
	assert.NoError(t, r.end(t))
}

// TestProxy_SteeredFromAnywhere: nothing is lost, doubled or reordered while others pause and resume as they like.
func TestProxy_SteeredFromAnywhere(t *testing.T) {
	t.Parallel()
	p, push, pull := streamer(t)
	r := runProxy(t, p)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.Pause()
					p.Stats()
					p.Resume()
				}
			}
		})
	}
	const n = 3000
	wg.Go(func() { numbered(t, push, 0, n, 8) })
	for i := range n {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
	close(stop)
	wg.Wait()
	p.Terminate()
	assert.NoError(t, r.end(t))
}

// TestProxy_KeepsWhatIsInHand: a message that could not be sent before the end is the first of the next Run.
func TestProxy_KeepsWhatIsInHand(t *testing.T) {
	t.Parallel()
	front, back := socket.NewPull(), socket.NewPush()
	push, pull := socket.NewPush(), socket.NewPull()
	joinAt(t, "tcp", "front", front, push)
	closing(t, back)
	p := socket.NewProxy(front, back)
	numbered(t, push, 0, 3, 8)
	for range 3 { // back has no peer
		r := runProxy(t, p)
		reaches(t, p, func(s socket.ProxyStats) bool { return s.Frontend.InHand == 1 })
		r.cancel()
		require.ErrorIs(t, r.end(t), context.Canceled)
		assert.Equal(t, uint64(1), p.Stats().Frontend.MessagesIn)
	}
	require.NoError(t, back.Connect(joinAt(t, "tcp", "back", pull)))
	runProxy(t, p)
	for i := range 3 {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
}

// TestProxy_Drain passes on what had arrived when Run ended, and what a closed socket had.
func TestProxy_Drain(t *testing.T) {
	t.Parallel()
	front, back := socket.NewPull(), socket.NewPush()
	push, pull := socket.NewPush(), socket.NewPull()
	joinAt(t, "tcp", "front", front, push)
	joinAt(t, "tcp", "back", back, pull)
	p := socket.NewProxy(front, back)
	p.Terminate()
	numbered(t, push, 0, 100, 8)
	require.NoError(t, push.Shutdown(limit(t)))
	require.NoError(t, front.Shutdown(limit(t)))
	require.NoError(t, p.Drain(limit(t)))
	for i := range 100 {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
}

// TestProxy_EndsWithItsSockets: Run passes on what a closed socket had received, and says that it is closed.
func TestProxy_EndsWithItsSockets(t *testing.T) {
	t.Parallel()
	t.Run("source", func(t *testing.T) {
		t.Parallel()
		front, back := socket.NewRouter(), socket.NewDealer()
		a, b := socket.NewDealer(), socket.NewDealer()
		joinAt(t, "tcp", "front", front, a)
		joinAt(t, "tcp", "back", back, b)
		p := socket.NewProxy(front, back)
		p.Pause()
		r := runProxy(t, p)
		numbered(t, a, 0, 100, 8)
		require.NoError(t, a.Shutdown(limit(t)))
		require.NoError(t, front.Shutdown(limit(t)))
		p.Resume()
		require.ErrorIs(t, r.end(t), socket.ErrClosed)
		for range 100 {
			recv(t, b)
		}
	})
	t.Run("destination", func(t *testing.T) {
		t.Parallel()
		p, push, pull := streamer(t)
		r := runProxy(t, p)
		send(t, push, "1")
		requireMsg(t, recv(t, pull), "1")
		back := socket.NewPush()
		require.NoError(t, back.Close())
		gone := runProxy(t, socket.NewProxy(pull, back))
		send(t, push, "2")
		require.ErrorIs(t, gone.end(t), socket.ErrClosed)
		assert.Equal(t, 1, gone.Stats().Frontend.InHand)
		r.Terminate()
		assert.NoError(t, r.end(t))
	})
}

// TestProxy_Unroutable: replies to clients that have left, or read nothing, end neither the proxy nor those to others.
func TestProxy_Unroutable(t *testing.T) {
	t.Parallel()
	front, back := socket.NewRouter(socket.WithSendHWM(2)), socket.NewDealer()
	worker, good, gone := socket.NewRouter(), socket.NewDealer(socket.WithIdentity("good")), socket.NewDealer(socket.WithIdentity("gone"))
	ep := joinAt(t, "tcp", "front", front, good, gone)
	joinAt(t, "tcp", "back", back, worker)
	deaf := sockettest.DialRaw(t, ep)
	deaf.Handshake("DEALER", 1)
	p := runProxy(t, socket.NewProxy(front, back, socket.WithRouteWait(10*time.Millisecond)))

	send(t, gone, "x")
	m := recv(t, worker)
	require.Equal(t, "gone", string(m.Frames[1]))
	require.NoError(t, gone.Close())
	require.Eventually(t, func() bool { return len(front.Stats().Peers) == 2 }, sockettest.Timeout, time.Millisecond)
	require.NoError(t, worker.Send(limit(t), m.Frames...))
	reaches(t, p.Proxy, func(s socket.ProxyStats) bool { return s.Unroutable == 1 })

	deaf.SendMessage("y")
	m = recv(t, worker)
	for p.Stats().Unroutable < 20 { // far more than there is room for
		require.NoError(t, worker.Send(limit(t), m.Frames[0], m.Frames[1], make([]byte, 1<<20)))
	}
	send(t, good, "z")
	m = recv(t, worker)
	require.NoError(t, worker.Send(limit(t), m.Frames...))
	requireMsg(t, recv(t, good), "z")
	assert.Zero(t, p.Stats().Refused)
}

// TestProxy_Refused: what a worker sends in the wrong form ends nothing.
func TestProxy_Refused(t *testing.T) {
	t.Parallel()
	front, back := socket.NewRouter(socket.WithMaxMessageSize(100)), socket.NewDealer()
	worker, client := socket.NewDealer(), socket.NewDealer(socket.WithIdentity("me"))
	joinAt(t, "tcp", "front", front, client)
	joinAt(t, "tcp", "back", back, worker)
	p := runProxy(t, socket.NewProxy(front, back))
	send(t, client, "x")
	requireMsg(t, recv(t, worker), "me", "x")
	send(t, worker, "no routing id")
	require.NoError(t, worker.Send(limit(t), text("me"), make([]byte, 101)))
	send(t, worker, "me", "good")
	requireMsg(t, recv(t, client), "good")
	s := reaches(t, p.Proxy, func(s socket.ProxyStats) bool { return s.Frontend.MessagesOut == 1 })
	assert.Equal(t, uint64(2), s.Refused)
	assert.Equal(t, uint64(3), s.Backend.MessagesIn)
}

func TestProxy_Capture(t *testing.T) {
	for name, open := range map[string]func() (to socket.ProxyEnd, from connector){
		"PUB": func() (socket.ProxyEnd, connector) {
			sub := socket.NewSub()
			_ = sub.Subscribe("")
			return socket.NewPub(), sub
		},
		"PUSH":   func() (socket.ProxyEnd, connector) { return socket.NewPush(), socket.NewPull() },
		"DEALER": func() (socket.ProxyEnd, connector) { return socket.NewDealer(), socket.NewDealer() },
		"PAIR":   func() (socket.ProxyEnd, connector) { return socket.NewPair(), socket.NewPair() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, from := open()
			joinAt(t, "tcp", "capture", to.(connector), from)
			front, back := socket.NewRouter(), socket.NewDealer()
			client, worker := socket.NewDealer(socket.WithIdentity("me")), socket.NewRep()
			joinAt(t, "tcp", "front", front, client)
			joinAt(t, "tcp", "back", back, worker)
			if pub, ok := to.(*socket.Pub); ok {
				require.NoError(t, pub.WaitSubscribers(limit(t), "", 1))
			}
			p := runProxy(t, socket.NewProxy(front, back, socket.WithCapture(to), socket.WithCaptureWait()))
			send(t, client, "", "question")
			requireMsg(t, recv(t, worker), "question")
			send(t, worker, "answer")
			requireMsg(t, recv(t, client), "", "answer")
			requireMsg(t, recv(t, from.(recver)), "me", "", "question")
			requireMsg(t, recv(t, from.(recver)), "me", "", "answer")
			assert.Zero(t, p.Stats().CaptureDropped)
		})
	}
}

// TestProxy_CaptureDoesNotBlock unless asked to.
func TestProxy_CaptureDoesNotBlock(t *testing.T) {
	t.Parallel()
	capture := socket.NewPush() // nobody is there
	closing(t, capture)
	p, push, pull := streamer(t, socket.WithCapture(capture))
	r := runProxy(t, p)
	for i := range 10 {
		require.NoError(t, push.Send(limit(t), ordinal(i, 8)))
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
	assert.Equal(t, uint64(10), p.Stats().CaptureDropped)
	p.Terminate()
	require.NoError(t, r.end(t))
}

func TestProxy_CaptureWait(t *testing.T) {
	t.Parallel()
	capture, log := socket.NewPush(), socket.NewPull()
	closing(t, capture)
	p, push, pull := streamer(t, socket.WithCapture(capture), socket.WithCaptureWait())
	send(t, push, "x")
	for range 2 {
		r := runProxy(t, p)
		reaches(t, p, func(s socket.ProxyStats) bool { return s.Frontend.InHand == 1 })
		r.cancel()
		require.ErrorIs(t, r.end(t), context.Canceled)
	}
	require.NoError(t, capture.Connect(joinAt(t, "tcp", "log", log)))
	runProxy(t, p)
	requireMsg(t, recv(t, log), "x")
	requireMsg(t, recv(t, pull), "x")
	assert.Zero(t, p.Stats().CaptureDropped)
	_, err := log.Recv(soon(t))
	assert.ErrorIs(t, err, socket.ErrTimeout, "there is one copy")
}
