package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// runProxy runs a proxy until the end of the test. ended has what Run returned.
func runProxy(t *testing.T, p *socket.Proxy) (stop context.CancelFunc, ended <-chan error) {
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { result <- p.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	return stop, result
}

// Behaviour 33: a request and its reply of several frames pass a device of ROUTER and DEALER as they are.
func TestBehaviour33_ReqRepThroughDevice(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(), socket.NewRep()
		front, back := socket.NewRouter(), socket.NewDealer()
		join(t, transport, front, req)
		join(t, transport, back, rep)
		runProxy(t, socket.NewProxy(front, back))
		for i := range 3 {
			send(t, req, "ab", "", fmt.Sprint(i))
			requireRecv(t, rep, "ab", "", fmt.Sprint(i))
			send(t, rep, "", "cd", fmt.Sprint(i))
			requireRecv(t, req, "", "cd", fmt.Sprint(i))
		}
	})
}

// Behaviour 52: a proxy of XSUB and XPUB passes subscriptions up and messages down.
func TestBehaviour52_SubForward(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub, xpub := socket.NewXSub(), socket.NewXPub()
		pub, sub := socket.NewPub(), socket.NewSub()
		join(t, transport, xsub, pub)
		join(t, transport, xpub, sub)
		runProxy(t, socket.NewProxy(xsub, xpub))
		require.NoError(t, sub.Subscribe(""))
		awaitSubscribers(t, pub, "", 1)
		send(t, pub, "message", "of two")
		requireRecv(t, sub, "message", "of two")
		require.NoError(t, sub.Unsubscribe(""))
		awaitTopics(t, pub, 0)
	})
}

// Behaviour 80: a proxy of ROUTER and DEALER brings the requests of several clients to several workers and each reply to the client that
// asked; the capture socket gets a copy of both.
func TestBehaviour80_QueueWithWorkersAndCapture(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back, capture := socket.NewRouter(), socket.NewDealer(), socket.NewPush(socket.WithSendHWM(0))
		log := socket.NewPull(socket.WithRecvHWM(0))
		clients := []*socket.Dealer{dealerAs(t, "A"), dealerAs(t, "B")}
		join(t, transport, front, clients[0], clients[1])
		workers := []*socket.Router{socket.NewRouter(), socket.NewRouter()}
		join(t, transport, back, workers[0], workers[1])
		join(t, transport, log, capture)
		runProxy(t, socket.NewProxy(front, back, socket.WithCapture(capture)))
		for _, worker := range workers {
			go func() { // ends with the worker
				for m := range worker.Messages(context.Background()) {
					assert.NoError(t, worker.Send(context.Background(), append(m.Frames, []byte("done"))...))
				}
			}()
		}
		const n = 20
		for i := range n {
			for _, client := range clients {
				send(t, client, fmt.Sprint(i))
			}
		}
		captured := map[string]int{}
		for range 2 * n * len(clients) {
			frames := texts(recv(t, log).Frames)
			captured[fmt.Sprint(frames)]++
		}
		for k, client := range clients {
			got := map[string]bool{}
			for range n {
				frames := texts(recv(t, client).Frames)
				require.Len(t, frames, 2)
				require.Equal(t, "done", frames[1])
				got[frames[0]] = true
			}
			for i := range n {
				id, body := string('A'+rune(k)), fmt.Sprint(i)
				assert.True(t, got[body])
				assert.Equal(t, 1, captured[fmt.Sprint([]string{id, body})])
				assert.Equal(t, 1, captured[fmt.Sprint([]string{id, body, "done"})])
			}
		}
	})
}

// Behaviour 80: a proxy whose two sides are one socket sends by it what it received from it.
func TestBehaviour80_OneSocket(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		middle, a, b := socket.NewDealer(), socket.NewDealer(), socket.NewDealer()
		join(t, transport, middle, a, b)
		runProxy(t, socket.NewProxy(middle, middle))
		send(t, a, "1")
		send(t, a, "2") // one comes back, one goes on, by turns
		got := []string{recv(t, a).String(), recv(t, b).String()}
		assert.ElementsMatch(t, []string{"1", "2"}, got)
	})
}

// Behaviour 80: behind a proxy whose XPUB drops nothing, a subscriber that does not read stops the publisher after a bounded number of messages; the
// statistics are to be had meanwhile, and nothing is lost.
func TestBehaviour80_HWM(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, sub := socket.NewPub(socket.WithNoDrop(), socket.WithSendHWM(5)), subscribed(t, socket.NewSub(socket.WithRecvHWM(5)), "")
		front, back := socket.NewXSub(socket.WithRecvHWM(5)), socket.NewXPub(socket.WithNoDrop(), socket.WithSendHWM(5))
		join(t, transport, front, pub)
		join(t, transport, back, sub)
		p := socket.NewProxy(front, back)
		runProxy(t, p)
		awaitSubscribers(t, pub, "", 1)
		body := make([]byte, 1<<20) // next to which the buffers of the system are small
		n := 0
		for publish := func() error { // which is blocked when it fails
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			return pub.Send(ctx, []byte(fmt.Sprint(n)), body)
		}; publish() == nil; n++ {
		}
		assert.Greater(t, n, 10, "four queues of five, of which one that was full takes more when it is half empty")
		assert.Less(t, n, 200, "the buffers of the system grow, to some MiB each")
		s := p.Stats()
		assert.Equal(t, 1, s.Frontend.InHand)
		assert.Equal(t, s.Frontend.MessagesIn, s.Backend.MessagesOut+1)
		assert.Less(t, s.Frontend.MessagesIn, uint64(n))
		for i := range n {
			require.Equal(t, fmt.Sprint(i), string(recv(t, sub).Frames[0]))
		}
		requireNothing(t, sub)
	})
}

// Behaviour 80: a proxy that was told to pause takes nothing until it is told to resume, counts messages and bytes in and out of either side, and ends
// when it is told to terminate.
func TestBehaviour80_Steering(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back := socket.NewRouter(), socket.NewDealer()
		client, worker := dealerAs(t, "A"), socket.NewDealer()
		join(t, transport, front, client)
		join(t, transport, back, worker)
		p := socket.NewProxy(front, back)
		_, ended := runProxy(t, p)
		send(t, client, "ab")
		requireRecv(t, worker, "A", "ab")
		p.Pause()
		send(t, client, "cde")
		requireNothing(t, worker)
		p.Resume()
		requireRecv(t, worker, "A", "cde")
		send(t, worker, "A", "reply")
		requireRecv(t, client, "reply")
		eventually(t, func() bool { s := p.Stats(); return s.Frontend.MessagesOut == 1 && s.Backend.MessagesOut == 2 })
		s := p.Stats()
		assert.Equal(t, socket.ProxyTraffic{MessagesIn: 2, BytesIn: 7, MessagesOut: 1, BytesOut: 6}, s.Frontend)
		assert.Equal(t, socket.ProxyTraffic{MessagesIn: 1, BytesIn: 6, MessagesOut: 2, BytesOut: 7}, s.Backend)
		p.Terminate()
		require.NoError(t, <-ended)
		send(t, client, "too late")
		requireNothing(t, worker)
	})
}

// Behaviour 80: a proxy ends with its context.
func TestBehaviour80_Context(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		front, back := socket.NewXSub(), socket.NewXPub()
		bound(t, transport, front)
		bound(t, transport, back)
		stop, ended := runProxy(t, socket.NewProxy(front, back))
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}
