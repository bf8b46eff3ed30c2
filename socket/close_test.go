package socket_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// Close writes what was sent, for the linger period: a program may send and end.
func TestClose_DeliversWhatWasSent(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 500
		push, pull := socket.NewPush(swift()), socket.NewPull(socket.WithRecvHWM(10))
		closing(t, pull)
		require.NoError(t, push.Connect(bind(t, pull, fresh(t, transport))))
		numbered(t, push, 0, messages, 1000)
		done := make(chan error)
		go func() { done <- push.Shutdown(limit(t)) }()
		for i := range messages {
			require.Equal(t, i, ordinalOf(recv(t, pull)))
		}
		require.NoError(t, <-done)
		assert.Empty(t, push.Stats().Dropped)
		assert.EqualValues(t, messages, push.Stats().MessagesOut)
	})
}

// Shutdown says how many messages were left when its limit struck, and drops and counts exactly those: the peer has all the others.
func TestShutdown_StalledPeer(t *testing.T) {
	for _, size := range []int{1000, 40 << 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			push := socket.NewPush(socket.WithSendHWM(100))
			raw := stalled(t, push)
			sent := fill(t, push, size)
			err := push.Shutdown(soon(t))
			require.ErrorIs(t, err, socket.ErrTimeout)
			dropped := push.Stats().Dropped
			require.ErrorContains(t, err, fmt.Sprintf("shutdown: %d messages were not sent", dropped[socket.DropClosed]))
			assert.Len(t, dropped, 1)
			assert.Equal(t, sent, wholeMessages(t, raw.Conn())+int(dropped[socket.DropClosed]))
			require.NoError(t, push.Close(), "closing again does nothing")
			require.NoError(t, push.Shutdown(try()))
		})
	}
}

// Close always returns, and soon when it need not linger, whatever state its connections are in.
func TestClose_AlwaysReturns(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never answers
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	endpoint := "tcp://" + silent.Addr().String()
	for name, prepare := range map[string]func(t *testing.T, push *socket.Push){
		"no peer":               func(t *testing.T, push *socket.Push) {},
		"bound, no peer":        func(t *testing.T, push *socket.Push) { bind(t, push, "tcp://127.0.0.1:0") },
		"nobody listens":        func(t *testing.T, push *socket.Push) { require.NoError(t, push.Connect(unused(t))) },
		"nobody bound the name": func(t *testing.T, push *socket.Push) { require.NoError(t, push.Connect("inproc://nobody")) },
		"name does not resolve": func(t *testing.T, push *socket.Push) { require.NoError(t, push.Connect("tcp://nosuch.invalid:1")) },
		"stalled peer":          func(t *testing.T, push *socket.Push) { stalled(t, push); fill(t, push, 100<<10) },
		"handshake, as dialer":  func(t *testing.T, push *socket.Push) { require.NoError(t, push.Connect(endpoint)) },
		"handshake, as listener": func(t *testing.T, push *socket.Push) {
			sockettest.DialRaw(t, bind(t, push, "tcp://127.0.0.1:0")).ReadGreeting()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push := socket.NewPush(socket.WithLinger(0), socket.WithHandshakeTimeout(time.Hour))
			prepare(t, push)
			_ = push.Send(try(), text("left")) // where there is a queue
			start := time.Now()
			err := push.Close()
			assert.Less(t, time.Since(start), sockettest.Timeout/2, "a handshake, which may take an hour, is not waited for")
			stats := push.Stats()
			if stats.Dropped[socket.DropClosed] > 0 {
				require.ErrorContains(t, err, "not sent")
			} else {
				require.NoError(t, err)
			}
			if stats.MessagesOut > 0 && name != "stalled peer" {
				assert.EqualValues(t, 1, stats.Dropped[socket.DropClosed])
			}
		})
	}
}

// A second Close waits for the first, and its own limit holds too.
func TestClose_ShorterLimitHolds(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithLinger(10 * time.Millisecond))
	require.NoError(t, push.Connect(unused(t)))
	send(t, push, "x")
	first := make(chan error)
	go func() { first <- push.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return errors.Is(push.Connect("tcp://127.0.0.1:1"), socket.ErrClosed) }, sockettest.Timeout, time.Millisecond)
	require.ErrorContains(t, push.Close(), "1 messages were not sent")
	require.ErrorContains(t, <-first, "1 messages were not sent")
}

// Every call that blocks returns when the socket is closed, with ErrClosed.
func TestClose_WakesBlockedCalls(t *testing.T) {
	background := context.Background()
	for name, block := range map[string]func() (closer interface{ Close() error }, call func() error){
		"Send": func() (interface{ Close() error }, func() error) {
			s := socket.NewPush()
			return s, func() error { return s.Send(background, text("x")) }
		},
		"Recv": func() (interface{ Close() error }, func() error) {
			s := socket.NewPull()
			return s, func() error { _, err := s.Recv(background); return err }
		},
		"Request": func() (interface{ Close() error }, func() error) {
			s := socket.NewReq()
			return s, func() error { _, err := s.Request(background, text("x")); return err }
		},
		"Rep.Recv": func() (interface{ Close() error }, func() error) {
			s := socket.NewRep()
			return s, func() error { _, err := s.Recv(background); return err }
		},
		"WaitPeers": func() (interface{ Close() error }, func() error) {
			s := socket.NewDealer()
			return s, func() error { return s.WaitPeers(background, 1) }
		},
		"WaitSubscribers": func() (interface{ Close() error }, func() error) {
			s := socket.NewPub()
			return s, func() error { return s.WaitSubscribers(background, "", 1) }
		},
		"Events": func() (interface{ Close() error }, func() error) {
			s := socket.NewSub()
			events := s.Events(background)
			return s, func() error {
				for range events {
				}
				return socket.ErrClosed
			}
		},
		"Messages": func() (interface{ Close() error }, func() error) {
			s := socket.NewRouter()
			return s, func() error {
				for _, err := range s.Messages(background) {
					return err
				}
				return socket.ErrClosed
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, call := block()
			done := make(chan error)
			go func() { done <- call() }()
			select {
			case err := <-done:
				t.Fatalf("did not block: %v", err)
			case <-soon(t).Done():
			}
			require.NoError(t, s.Close())
			require.ErrorIs(t, <-done, socket.ErrClosed)
			require.ErrorIs(t, call(), socket.ErrClosed, "and from then on")
		})
	}
}

// A caller that reads the connection itself is woken as well.
func TestClose_WakesCallerThatReads(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, push, pull)
		send(t, push, "x")
		recv(t, pull)
		done := make(chan error)
		for range 3 {
			go func() { _, err := pull.Recv(context.Background()); done <- err }()
		}
		require.NoError(t, pull.Close())
		for range 3 {
			require.ErrorIs(t, <-done, socket.ErrClosed)
		}
	})
}

// Recv returns what had arrived before it returns ErrClosed; everything else returns ErrClosed.
func TestClose_ThenCalls(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 100
		push, pull := socket.NewPush(), socket.NewPull()
		endpoint := join(t, transport, pull, push)
		numbered(t, push, 0, messages, 8)
		require.NoError(t, push.Close())
		require.Eventually(t, func() bool {
			peers := pull.Stats().Peers // none: it has left, and all that it sent has come
			return peers == nil || peers[0].InboxMessages == messages
		}, sockettest.Timeout, time.Millisecond)
		require.NoError(t, pull.Close())
		assert.Equal(t, messages, rest(t, pull, 0))
		_, err := pull.Bind(endpoint)
		assert.ErrorIs(t, err, socket.ErrClosed)
		assert.ErrorIs(t, pull.Unbind(endpoint), socket.ErrClosed)
		assert.ErrorIs(t, pull.Connect(endpoint), socket.ErrClosed)
		assert.ErrorIs(t, push.Disconnect(endpoint), socket.ErrClosed)
		assert.ErrorIs(t, push.Send(limit(t), text("x")), socket.ErrClosed)
		assert.ErrorIs(t, pull.WaitPeers(limit(t), 1), socket.ErrClosed)
		for range pull.Events(limit(t)) {
			t.Error("an event after the end")
		}
	})
}

// Close may come at any time, from any goroutine, whatever the others do.
func TestClose_Stress(t *testing.T) {
	const goroutines, rounds = 100, 10
	hub := socket.NewDealer(socket.WithRecvHWM(100))
	endpoint := bind(t, hub, "tcp://127.0.0.1:0")
	inproc := bind(t, hub, "inproc://"+t.Name())
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for m, err := range hub.Messages(ctx) {
			assert.NoError(t, err)
			_ = hub.Send(try(), m.Frames...)
		}
	})
	var peers sync.WaitGroup
	for range goroutines {
		peers.Go(func() {
			for range rounds {
				abuse(t, endpoint, inproc)
			}
		})
	}
	peers.Wait()
	stop()
	wg.Wait()
	assert.NoError(t, hub.Close())
}

// abuse makes a socket, uses it from several goroutines and closes it meanwhile, twice.
func abuse(t *testing.T, endpoints ...string) {
	s := socket.NewDealer(socket.WithLinger(time.Duration(rand.IntN(3))*time.Millisecond), swift())
	var wg sync.WaitGroup
	for _, endpoint := range endpoints {
		wg.Go(func() {
			if err := s.Connect(endpoint); err != nil {
				assert.ErrorIs(t, err, socket.ErrClosed)
			} else if rand.IntN(3) == 0 {
				_ = s.Disconnect(endpoint)
			}
		})
	}
	wg.Go(func() { _ = s.WaitPeers(context.Background(), 3) })
	wg.Go(func() {
		for i := range 50 {
			if err := s.Send(shortly(t, time.Millisecond), ordinal(i, 100)); errors.Is(err, socket.ErrClosed) {
				return
			}
		}
	})
	wg.Go(func() {
		for range s.Messages(context.Background()) {
		}
	})
	wg.Go(func() { _, _ = s.Bind("tcp://127.0.0.1:0") })
	wg.Go(func() { s.Stats() })
	for range 2 {
		wg.Go(func() {
			<-shortly(t, time.Duration(rand.IntN(2000))*time.Microsecond).Done()
			if err := s.Close(); err != nil { // what linger had no time for
				assert.ErrorContains(t, err, "not sent")
			}
		})
	}
	wg.Wait()
}

// Close and Shutdown beside a Shutdown that fails say, too, what was left.
func TestClose_BesideAShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := ways["PUSH"].openFS(t, spooltest.NewMem(), spool.Options{}, socket.WithLinger(time.Hour))
		for range 3 {
			require.NoError(t, s.Send(t.Context(), text("x")))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		for _, end := range []func() error{func() error { return s.Shutdown(ctx) }, s.Close, func() error { return s.Shutdown(t.Context()) }} {
			go func() { ended <- end() }() // received below
			synctest.Wait()
		}
		cancel()
		for range cap(ended) {
			err := <-ended
			require.ErrorIs(t, err, socket.ErrSpooled)
			require.ErrorIs(t, err, context.Canceled)
			assert.ErrorContains(t, err, "3 of them")
		}
		require.NoError(t, s.Close(), "closing again does nothing")
	})
}
