package socket_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 30: a PUSH socket routes outgoing messages to its available peers in a round-robin way.
func TestRFC30_PushRoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const pulls, rounds = 4, 25
		push := socket.NewPush()
		closing(t, push)
		all := make([]*socket.Pull, pulls)
		for i := range all {
			all[i] = socket.NewPull()
			closing(t, all[i])
			endpoint := fresh(t, transport)
			if transport == "inproc" {
				endpoint += fmt.Sprint(i)
			}
			require.NoError(t, push.Connect(bind(t, all[i], endpoint)))
		}
		require.NoError(t, push.WaitPeers(limit(t), pulls))
		numbered(t, push, 0, pulls*rounds, 8)
		for _, pull := range all {
			first := ordinalOf(recv(t, pull))
			require.Less(t, first, pulls)
			for round := 1; round < rounds; round++ {
				require.Equal(t, first+round*pulls, ordinalOf(recv(t, pull)))
			}
		}
	})
}

// RFC 30: a PULL socket receives from its peers with a fair-queuing strategy, so that one that floods does not starve another.
func TestRFC30_PullFairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull, flood, quiet := socket.NewPull(socket.WithRecvHWM(10)), socket.NewPush(socket.WithLinger(0)), socket.NewPush()
		endpoint := join(t, transport, pull, flood)
		closing(t, quiet)
		require.NoError(t, quiet.Connect(endpoint))
		require.NoError(t, pull.WaitPeers(limit(t), 2))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		wg.Go(func() {
			for flood.Send(ctx, ordinal(0, 20<<10)) == nil {
			}
		})
		for range 100 {
			recv(t, pull)
		}
		send(t, quiet, "12345678")
		require.Eventually(t, func() bool {
			peers := pull.Stats().Peers // one look: those of one endpoint are in no order
			return peers[0].MessagesIn*peers[1].MessagesIn > 0
		}, sockettest.Timeout, time.Millisecond)
		for i := 0; ; i++ {
			require.Less(t, i, 100, "a turn is one read, which holds at most 13 of these messages")
			if m := recv(t, pull); m.String() == "12345678" {
				break
			}
		}
	})
}

// RFC 30: a PUSH blocks on sending, or returns an error, when it has no available peers; it does not discard messages.
func TestRFC30_PushBlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		closing(t, pull, push)
		err := push.Send(try(), text("x"))
		require.ErrorIs(t, err, socket.ErrNoPeer)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, socket.ErrTimeout)

		endpoint := bind(t, push, fresh(t, transport))
		sent := make(chan error)
		go func() { sent <- push.Send(limit(t), text("waited")) }()
		require.NoError(t, pull.Connect(endpoint))
		require.NoError(t, <-sent)
		requireMsg(t, recv(t, pull), "waited")
	})
}

// A queue takes as many messages as its high-water mark says, and then blocks. Nothing that was taken is lost.
func TestSend_HighWaterMark(t *testing.T) {
	for _, tc := range []struct {
		name   string
		option socket.Option
		size   int
		want   int
	}{
		{"messages", socket.WithSendHWM(10), 8, 10},
		{"bytes", socket.WithSendHWMBytes(1000), 100, 10},
		{"bytes, not a multiple", socket.WithSendHWMBytes(1050), 100, 10},
		{"one message always fits", socket.WithSendHWMBytes(10), 1000, 1},
		{"the stricter one holds", func() socket.Option { return socket.WithSendHWM(3) }(), 8, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			push, pull := socket.NewPush(tc.option, swift()), socket.NewPull()
			closing(t, push, pull)
			endpoint := unused(t)
			require.NoError(t, push.Connect(endpoint))
			for i := range tc.want {
				require.NoError(t, push.Send(try(), ordinal(i, tc.size)), "message %d", i)
			}
			require.ErrorIs(t, push.Send(try(), ordinal(0, tc.size)), socket.ErrFull)
			err := push.Send(soon(t), ordinal(0, tc.size))
			require.ErrorIs(t, err, socket.ErrFull)
			require.ErrorIs(t, err, socket.ErrTimeout)
			queue := push.Stats().Peers[0]
			assert.Equal(t, tc.want, queue.QueueMessages)
			assert.Equal(t, tc.want*tc.size, queue.QueueBytes)

			sent := make(chan error)
			go func() { sent <- push.Send(limit(t), ordinal(tc.want, tc.size)) }()
			bind(t, pull, endpoint)
			require.NoError(t, <-sent)
			for i := range tc.want + 1 {
				require.Equal(t, i, ordinalOf(recv(t, pull)))
			}
		})
	}
}

// Senders that wait are woken when the queue is half empty, not at each message that leaves it.
func TestSend_WakesAtHalf(t *testing.T) {
	t.Parallel()
	const hwm, size = 64, 256 << 10
	push := socket.NewPush(socket.WithSendHWM(hwm), socket.WithLinger(0))
	closing(t, push)
	raw := stalled(t, push)
	taken := fill(t, push, size)
	sent := make(chan error, 1)
	go func() { sent <- push.Send(limit(t), ordinal(taken, size)) }()
	for done := false; !done; {
		select {
		case err := <-sent:
			require.NoError(t, err)
			done = true
		default:
			raw.ReadMessage()
		}
	}
	assert.LessOrEqual(t, push.Stats().Peers[0].QueueMessages, hwm/2+1)
}

// Messages queued for an endpoint outlive its connections: over any number of restarts of the peer each arrives once, in order.
func TestConnect_NothingLostOverRestarts(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const restarts = 25
		push := socket.NewPush(swift())
		closing(t, push)
		pull := socket.NewPull(socket.WithLinger(0))
		endpoint := bind(t, pull, fresh(t, transport))
		require.NoError(t, push.Connect(endpoint))
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg.Go(func() {
			for i := 0; push.Send(ctx, ordinal(i, 1000)) == nil && ctx.Err() == nil; i++ {
			}
		})
		next := 0
		for restart := range restarts {
			for range 500 {
				require.Equal(t, next, ordinalOf(recv(t, pull)), "restart %d", restart)
				next++
			}
			require.NoError(t, pull.Close())
			next = rest(t, pull, next)
			pull = socket.NewPull(socket.WithLinger(0))
			bind(t, pull, endpoint)
		}
		stop()
		wg.Wait()
		stats := push.Stats()
		sent := int(stats.MessagesOut)
		for next < sent {
			require.Equal(t, next, ordinalOf(recv(t, pull)))
			next++
		}
		require.NoError(t, pull.Close())
		assert.Equal(t, sent, rest(t, pull, next), "more than was sent")
		assert.Empty(t, stats.Dropped)
		assert.GreaterOrEqual(t, stats.Peers[0].Reconnects, uint64(restarts-1))
	})
}

// rest reads what a closed PULL still has, which must be numbered from next on, and returns the number after it.
func rest(t *testing.T, pull *socket.Pull, next int) int {
	t.Helper()
	for {
		m, err := pull.Recv(limit(t))
		if err != nil {
			require.ErrorIs(t, err, socket.ErrClosed)
			return next
		}
		require.Equal(t, next, ordinalOf(m))
		next++
	}
}

// A peer that resets the connection takes with it what the systems held in between, but nothing arrives twice or out of order.
// RFC 37, "Socket Semantics": no message is delivered more than once.
func TestRFC37_NothingTwiceAfterResets(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(swift(), socket.WithLinger(0))
	closing(t, push)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		for i := 0; push.Send(ctx, []byte(fmt.Sprintf("%010d", i))) == nil; i++ {
		}
	})
	last := ""
	for range 30 {
		raw := sockettest.AcceptRaw(t, ln)
		raw.Handshake("PULL", 1)
		for range 200 {
			m := raw.ReadMessage()[0]
			require.Greater(t, m, last)
			last = m
		}
		raw.Reset()
	}
}

// What is queued for a peer that connected to us is lost with it: counted, and reported with its number.
func TestBind_QueueOfLostPeerIsReported(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithSendHWM(50))
	closing(t, push)
	await := watch(t, push)
	raw := sockettest.DialRaw(t, bind(t, push, "tcp://127.0.0.1:0"))
	raw.Handshake("PULL", 1)
	require.NoError(t, push.WaitPeers(limit(t), 1))
	sent := fill(t, push, 64<<10)
	require.NoError(t, raw.Conn().(*net.TCPConn).CloseWrite())
	dropped := await(socket.Dropped)
	assert.Equal(t, socket.DropPeerGone, dropped.Reason)
	require.NotNil(t, dropped.Peer)
	assert.Equal(t, "PULL", dropped.Peer.SocketType())
	assert.Equal(t, sent, wholeMessages(t, raw.Conn())+int(dropped.Count), "received and dropped")
	assert.Equal(t, map[socket.DropReason]uint64{socket.DropPeerGone: dropped.Count}, push.Stats().Dropped)
	assert.Empty(t, push.Stats().Peers)
}

// Whatever a peer that closes did not get is counted as dropped: nothing is unaccounted for.
func TestBind_LossesAddUp(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(socket.WithSendHWM(50))
		closing(t, push)
		endpoint := bind(t, push, fresh(t, transport))
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wg.Go(func() {
			for i := 0; push.Send(ctx, ordinal(i, 1000)) == nil && ctx.Err() == nil; i++ {
			}
		})
		received := 0
		for range 20 {
			pull := socket.NewPull(socket.WithRecvHWM(10), socket.WithLinger(0))
			require.NoError(t, pull.Connect(endpoint))
			last := -1
			for range 100 {
				m := recv(t, pull)
				require.Greater(t, ordinalOf(m), last)
				last = ordinalOf(m)
				received++
			}
			require.NoError(t, pull.Close())
			for _, err := pull.Recv(limit(t)); err == nil; _, err = pull.Recv(limit(t)) {
				received++
			}
		}
		stop()
		wg.Wait()
		require.Eventually(t, func() bool { return len(push.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
		stats := push.Stats()
		assert.EqualValues(t, stats.MessagesOut, uint64(received)+stats.Dropped[socket.DropPeerGone])
	})
}

// RFC 23: the frames of a message arrive together or not at all; RFC 30: each message goes to one peer. Any number of goroutines may share a socket.
func TestPushPull_ConcurrentCallersMultipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const senders, receivers, each = 8, 8, 2000
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					name := fmt.Sprintf("%d/%d", s, i)
					frames := [][]byte{text(name), make([]byte, i%300), {}, text(name)}
					assert.NoError(t, push.Send(limit(t), frames...))
				}
			})
		}
		var mu sync.Mutex
		seen := map[string]bool{}
		ctx, stop := context.WithCancel(limit(t))
		for range receivers {
			wg.Go(func() {
				for m, err := range pull.Messages(ctx) {
					assert.NoError(t, err)
					if !assert.Len(t, m.Frames, 4) || !assert.Equal(t, m.Frames[0], m.Frames[3]) {
						continue
					}
					mu.Lock()
					assert.False(t, seen[m.String()], "%s came twice", m)
					seen[m.String()] = true
					if len(seen) == senders*each {
						stop()
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		stop()
		assert.Len(t, seen, senders*each)
	})
}
