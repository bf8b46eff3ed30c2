package socket_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport"
)

// rawOf is a raw peer of an endpoint of any transport.
func rawOf(t *testing.T, endpoint, socketType string, properties ...sockettest.Property) *sockettest.RawPeer {
	t.Helper()
	ep, err := transport.ParseConnect(endpoint)
	require.NoError(t, err)
	conn, err := ep.Dial(limit(t))
	require.NoError(t, err)
	raw := sockettest.NewRaw(t, conn)
	raw.Handshake(socketType, 1, properties...)
	return raw
}

// slowSub is a raw SUB, subscribed to everything, that reads nothing before it is told to.
func slowSub(t *testing.T, endpoint string, properties ...sockettest.Property) *sockettest.RawPeer {
	t.Helper()
	raw := rawOf(t, endpoint, "SUB", properties...)
	raw.Subscribe("")
	synced(raw)
	return raw
}

// publishUntil publishes numbered messages of 64 KiB in two frames without ever waiting, until done; it returns how many.
func publishUntil(t *testing.T, s sender, done func() bool) (n int) {
	t.Helper()
	for ; !done(); n++ {
		require.NoError(t, s.Send(try(), ordinal(n, 8), make([]byte, 64<<10)))
		require.Less(t, n, 20_000, "it never comes to that")
	}
	return n
}

// readNumbers reads n messages of publishUntil and returns their numbers.
func readNumbers(raw *sockettest.RawPeer, n int) (numbers []int) {
	for range n {
		numbers = append(numbers, ordinalOf(socket.Msg{Frames: bodies(raw.ReadMessage()[0])}))
	}
	return numbers
}

// A subscriber with DropOldest, or Conflate, gets the newest messages in the end, whole ones and in order. Every other one is counted and reported.
func TestDropPolicy_KeepsTheNewest(t *testing.T) {
	for policy, want := range map[socket.DropPolicy]struct {
		reason socket.DropReason
		newest int
	}{
		socket.DropOldest: {socket.DropFull, 8},
		socket.Conflate:   {socket.DropConflated, 1},
	} {
		eachTransport(t, func(t *testing.T, transport string) {
			pub := socket.NewPub(socket.WithDropPolicy(policy), socket.WithSendHWM(8))
			closing(t, pub)
			await := watch(t, pub)
			raw := slowSub(t, bind(t, pub, fresh(t, transport)))
			dropped := func() int { return int(pub.Stats().Dropped[want.reason]) }
			sent := publishUntil(t, pub, func() bool { return dropped() >= 50 })
			event := await(socket.Dropped)
			assert.Equal(t, want.reason, event.Reason)
			assert.Equal(t, "SUB", event.Peer.SocketType())
			assert.EqualValues(t, dropped(), pub.Stats().Peers[0].Dropped[want.reason])
			assert.EqualValues(t, sent, pub.Stats().MessagesOut, "Send took each of them")

			numbers := readNumbers(raw, sent-dropped())
			assert.IsIncreasing(t, numbers)
			for i := range want.newest {
				assert.Equal(t, sent-want.newest+i, numbers[len(numbers)-want.newest+i])
			}
			synced(raw)
			assert.Len(t, pub.Stats().Dropped, 1)
		})
	}
}

// A subscriber that reads too slowly is disconnected, with a reason that can be told from others, and may come back. Others are not affected.
func TestDropPolicy_Disconnect(t *testing.T) {
	t.Parallel()
	pub := socket.NewXPub(socket.WithDropPolicy(socket.Disconnect), socket.WithSendHWM(8))
	closing(t, pub)
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	await := watch(t, pub)
	slow := slowSub(t, endpoint)
	fast := socket.NewSub()
	closing(t, fast)
	require.NoError(t, fast.Subscribe("fast"))
	require.NoError(t, fast.Connect(endpoint))
	require.NoError(t, pub.WaitSubscribers(limit(t), "fast", 2))
	sent := publishUntil(t, pub, func() bool { return pub.WaitSubscribers(try(), "x", 1) != nil })
	event := await(socket.Disconnected)
	require.ErrorIs(t, event.Err, socket.ErrFull)
	require.ErrorContains(t, event.Err, "reads too slowly")
	assert.Equal(t, slow.Conn().LocalAddr().String(), event.Peer.Address())
	assert.LessOrEqual(t, len(slow.ExpectClosed()), sent*(64<<10+100))
	stats := pub.Stats()
	assert.NotZero(t, stats.Dropped[socket.DropFull], "the message that there was no room for")
	assert.NotZero(t, stats.Dropped[socket.DropPeerGone], "what was queued")
	send(t, pub, "fast", "goes on")
	requireMsg(t, recv(t, fast), "fast", "goes on")
	slowSub(t, endpoint)
	require.NoError(t, pub.WaitSubscribers(limit(t), "x", 1))
}

// Each subscriber has the policy that the function chose for it.
func TestDropPolicy_PerPeer(t *testing.T) {
	t.Parallel()
	policies := map[string]socket.DropPolicy{"newest": socket.DropNewest, "oldest": socket.DropOldest, "conflate": socket.Conflate, "block": socket.Block}
	pub := socket.NewPub(socket.WithSendHWM(8), socket.WithPeerDropPolicy(func(p *socket.Peer) socket.DropPolicy {
		want, _ := p.Property("X-Policy")
		return policies[want]
	}))
	closing(t, pub)
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	peers := map[string]*sockettest.RawPeer{}
	for name := range policies {
		peers[name] = slowSub(t, endpoint, sockettest.Property{Name: "X-Policy", Value: name})
	}
	sent := 0
	for ; ; sent++ { // until the one that blocks is full
		err := pub.Send(soon(t), ordinal(sent, 8), make([]byte, 64<<10))
		if err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			break
		}
	}
	numbers := readNumbers(peers["block"], sent)
	for i := range sent {
		require.Equal(t, i, numbers[i], "nothing is dropped")
	}
	peers["block"].Close()
	sent += publishMore(t, pub, sent, 200)
	dropped := map[string]int{}
	for _, p := range pub.Stats().Peers {
		name, _ := p.Peer.Property("X-Policy")
		dropped[name] = int(p.Dropped[socket.DropFull] + p.Dropped[socket.DropConflated])
		assert.Equal(t, name == "conflate", p.Dropped[socket.DropConflated] > 0, name)
	}
	for _, name := range []string{"oldest", "conflate"} {
		numbers := readNumbers(peers[name], sent-dropped[name])
		assert.IsIncreasing(t, numbers)
		assert.Equal(t, sent-1, numbers[len(numbers)-1], name)
	}
	numbers = readNumbers(peers["newest"], sent-dropped["newest"])
	assert.IsIncreasing(t, numbers)
	assert.Less(t, numbers[len(numbers)-1], sent-1)
}

func publishMore(t *testing.T, s sender, from, n int) int {
	for i := range n {
		require.NoError(t, s.Send(limit(t), ordinal(from+i, 8), make([]byte, 64<<10)))
	}
	return n
}

// SendTo says what became of its message.
func TestSendTo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		policy socket.DropPolicy
		full   bool // the queue can be
	}{{socket.DropNewest, true}, {socket.Block, true}, {socket.Disconnect, true}, {socket.DropOldest, false}, {socket.Conflate, false}} {
		t.Run(fmt.Sprint(tc.policy), func(t *testing.T) {
			t.Parallel()
			xpub := socket.NewXPub(socket.WithDropPolicy(tc.policy), socket.WithSendHWM(3), socket.WithLinger(0))
			closing(t, xpub)
			raw := slowSub(t, bind(t, xpub, "tcp://127.0.0.1:0"))
			peer := recv(t, xpub).Peer()
			require.NoError(t, xpub.SendTo(limit(t), peer, text("x"), text("alone")))
			require.Equal(t, []string{"x", "alone"}, raw.ReadMessage())
			var err error
			for range 2000 {
				if err = xpub.SendTo(soon(t), peer, make([]byte, 64<<10)); err != nil {
					break
				}
			}
			if tc.full {
				require.ErrorIs(t, err, socket.ErrFull)
				require.ErrorContains(t, err, "send "+peer.Address())
				assert.Equal(t, tc.policy == socket.Block, errors.Is(err, socket.ErrTimeout))
			} else {
				require.NoError(t, err)
				require.NotEmpty(t, xpub.Stats().Dropped)
			}
			raw.Close()
			require.Eventually(t, func() bool { return len(xpub.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
			require.ErrorIs(t, xpub.SendTo(limit(t), peer, text("x")), socket.ErrPeerGone)
			require.ErrorIs(t, xpub.SendTo(limit(t), nil, text("x")), socket.ErrPeerGone)
			require.ErrorIs(t, xpub.SendTo(limit(t), peer), socket.ErrState, "no frames")
			require.NoError(t, xpub.Shutdown(limit(t)))
			require.ErrorIs(t, xpub.SendTo(limit(t), peer, text("x")), socket.ErrClosed)
		})
	}
}
