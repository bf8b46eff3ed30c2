package socket_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 29: a SUB filters by the prefix of the first frame; no subscription, no message; the empty one matches everything.
func TestRFC29_PrefixMatching(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, sub := socket.NewPub(), socket.NewSub()
		join(t, transport, pub, sub)
		require.NoError(t, sub.WaitPeers(limit(t), 1))
		send(t, pub, "a") // nobody wants it: it goes nowhere, which is no drop
		for _, tc := range []struct {
			topic     string
			yes, nope string
		}{
			{"a", "a", "b"}, {"bb", "bbb", "b"}, {"\x00\x01", "\x00\x01x", "\x00"}, {"", "b", ""},
		} {
			require.NoError(t, sub.Subscribe(tc.topic))
			require.NoError(t, pub.WaitSubscribers(limit(t), tc.yes, 1))
			if tc.nope != "" {
				send(t, pub, tc.nope, "not wanted")
			}
			send(t, pub, tc.yes, "wanted", "")
			requireMsg(t, recv(t, sub), tc.yes, "wanted", "")
			require.NoError(t, sub.Unsubscribe(tc.topic))
			require.Eventually(t, func() bool { return pub.WaitSubscribers(try(), tc.yes, 1) != nil }, sockettest.Timeout, time.Millisecond)
		}
		assert.Empty(t, pub.Stats().Dropped)
		_, err := sub.Recv(soon(t))
		assert.ErrorIs(t, err, socket.ErrTimeout)
	})
}

// A call that asks for too much changes nothing.
func TestSubscribe_AllOrNone(t *testing.T) {
	t.Parallel()
	sub := socket.NewSub(socket.WithMaxSubscriptions(2), socket.WithMaxTopic(3))
	defer sub.Close()
	for _, topics := range [][]string{{"a", "b", "c"}, {"a", "long"}} {
		require.ErrorIs(t, sub.Subscribe(topics...), socket.ErrTooLarge)
		assert.Empty(t, sub.Topics())
	}
	require.NoError(t, sub.Subscribe("a", "b"))
	require.ErrorIs(t, sub.Subscribe("c"), socket.ErrTooLarge)
	assert.Equal(t, []string{"a", "b"}, sub.Topics())
}

// RFC 29: subscriptions are additive: what was asked for twice is to be taken back twice.
func TestRFC29_CountedSubscriptions(t *testing.T) {
	t.Parallel()
	pub, sub := socket.NewPub(), socket.NewSub()
	join(t, "tcp", pub, sub)
	require.NoError(t, sub.Subscribe("a", "a", "ab"))
	require.NoError(t, pub.WaitSubscribers(limit(t), "ab", 1))
	require.NoError(t, sub.Unsubscribe("a"))
	send(t, pub, "ac")
	requireMsg(t, recv(t, sub), "ac")
	require.NoError(t, sub.Unsubscribe("a"))
	send(t, pub, "ac")
	send(t, pub, "ab")
	requireMsg(t, recv(t, sub), "ab")
	err := sub.Unsubscribe("a")
	require.ErrorIs(t, err, socket.ErrState)
	require.ErrorContains(t, err, `unsubscribe: wrong state: not subscribed to "a"`)
	require.ErrorIs(t, sub.Subscribe(string(make([]byte, 17<<10))), socket.ErrTooLarge)
	require.NoError(t, sub.Close())
	require.ErrorIs(t, sub.Subscribe("x"), socket.ErrClosed)
}

// Subscriptions outlive connections, however many they are.
func TestSub_ManySubscriptionsOverReconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const topics = 5000
		sub, pub := socket.NewSub(swift()), socket.NewPub()
		closing(t, sub)
		for i := range topics {
			require.NoError(t, sub.Subscribe(fmt.Sprintf("topic.%05d.", i)))
		}
		endpoint := bind(t, pub, fresh(t, transport))
		require.NoError(t, sub.Connect(endpoint))
		for round := range 3 {
			for _, i := range []int{0, 1, topics / 2, topics - 1} {
				topic := fmt.Sprintf("topic.%05d.", i)
				require.NoError(t, pub.WaitSubscribers(limit(t), topic, 1))
				send(t, pub, topic, fmt.Sprint(round))
				requireMsg(t, recv(t, sub), topic, fmt.Sprint(round))
			}
			require.NoError(t, pub.Close())
			pub = socket.NewPub()
			bind(t, pub, endpoint)
		}
		require.NoError(t, pub.Close())
	})
}

// RFC 29: a PUB drops what a subscriber whose queue is full should get, newest first, and disturbs no other subscriber. Here
// each drop is counted and reported, too.
func TestRFC29_PubDropsForSlowSubscriber(t *testing.T) {
	t.Parallel()
	const hwm, size = 20, 64 << 10
	pub, fast := socket.NewPub(socket.WithSendHWM(hwm)), socket.NewSub()
	await := watch(t, pub)
	endpoint := join(t, "tcp", pub, fast)
	require.NoError(t, fast.Subscribe(""))
	slow := sockettest.DialRaw(t, endpoint)
	slow.Handshake("SUB", 1)
	slow.Subscribe("")
	require.NoError(t, pub.WaitSubscribers(limit(t), "", 2))
	const messages = 400 // 25 MiB: more than the buffers between hold
	for i := range messages {
		require.NoError(t, pub.Send(try(), ordinal(i, size)))
		require.Equal(t, i, ordinalOf(recv(t, fast)))
	}
	dropped := await(socket.Dropped)
	assert.Equal(t, socket.DropFull, dropped.Reason)
	assert.Equal(t, "SUB", dropped.Peer.SocketType())
	count := pub.Stats().Dropped[socket.DropFull]
	var perPeer uint64
	for _, p := range pub.Stats().Peers {
		if p.Dropped[socket.DropFull] > 0 {
			assert.Equal(t, slow.Conn().LocalAddr().String(), p.Peer.Address())
		}
		perPeer += p.Dropped[socket.DropFull]
	}
	assert.Equal(t, count, perPeer)
	assert.EqualValues(t, 2*messages-int(count), pub.Stats().MessagesOut)
	shut := make(chan error)
	go func() { shut <- pub.Shutdown(limit(t)) }()
	kept := ordinals(t, slow.Conn())
	assert.Len(t, kept, messages-int(count))
	assert.Zero(t, kept[0], "the oldest are kept")
	assert.IsIncreasing(t, kept, "in order; the system may find room for more of them at any time")
	slow.Close()
	require.NoError(t, <-shut)
}

// WithNoDrop has Send wait for the slowest subscriber instead.
func TestPub_NoDrop(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 3000
		pub := socket.NewXPub(socket.WithNoDrop(), socket.WithSendHWM(5))
		subs := []*socket.Sub{socket.NewSub(socket.WithRecvHWM(5)), socket.NewSub(socket.WithRecvHWM(5))}
		endpoint := bind(t, pub, fresh(t, transport))
		closing(t, pub)
		for _, sub := range subs {
			closing(t, sub)
			require.NoError(t, sub.Subscribe(""))
			require.NoError(t, sub.Connect(endpoint))
		}
		require.NoError(t, pub.WaitSubscribers(limit(t), "", 2))
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { numbered(t, pub, 0, messages, 5000) })
		for i := range messages {
			for _, sub := range subs {
				require.Equal(t, i, ordinalOf(recv(t, sub)))
			}
		}
		wg.Wait()
		assert.Empty(t, pub.Stats().Dropped)
		fill(t, pub, 64<<10) // ErrFull with nobody receiving
		require.NoError(t, subs[0].Close())
		require.NoError(t, subs[1].Close())
		send(t, pub, "nobody is in the way any more")
	})
}

// A Send that waits for a subscriber goes on when that does not want the message any more.
func TestPub_NoDropUnsubscribed(t *testing.T) {
	t.Parallel()
	for _, invert := range []bool{false, true} {
		options := []socket.Option{socket.WithNoDrop(), socket.WithSendHWM(2)}
		sub := socket.NewSub(socket.WithRecvHWM(1))
		change := sub.Unsubscribe
		require.NoError(t, sub.Subscribe("a"))
		topic := "a"
		if invert {
			options = append(options, socket.WithInvertMatching())
			change, topic = sub.Subscribe, "b"
		}
		pub := socket.NewPub(options...)
		closing(t, pub, sub)
		require.NoError(t, sub.Connect(bind(t, pub, "tcp://127.0.0.1:0")))
		require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
		for pub.Send(soon(t), text(topic), make([]byte, 64<<10)) == nil {
		}
		ctx := &watchedContext{Context: limit(t), looked: make(chan struct{})}
		sent := make(chan error)
		go func() { sent <- pub.Send(ctx, text(topic), make([]byte, 64<<10)) }()
		<-ctx.looked
		require.NoError(t, change(topic))
		require.NoError(t, <-sent)
	}
}

// watchedContext tells when somebody waits for its end.
type watchedContext struct {
	context.Context
	once   sync.Once
	looked chan struct{}
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.looked) })
	return c.Context.Done()
}

// WaitSubscribers counts the peers with a subscription that matches.
func TestWaitSubscribers(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub()
	closing(t, pub)
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	err := pub.WaitSubscribers(soon(t), "ab", 1)
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.ErrorIs(t, err, socket.ErrTimeout)
	require.ErrorContains(t, err, `0 of 1 subscribed to "ab"`)
	for _, add := range []struct {
		topic string
		match int // those so far with a prefix of it
	}{{"", 1}, {"a", 2}, {"ab", 3}, {"abc", 4}, {"x", 2}} {
		sub := socket.NewSub()
		closing(t, sub)
		require.NoError(t, sub.Subscribe(add.topic, add.topic+"z"))
		require.NoError(t, sub.Connect(endpoint))
		require.NoError(t, pub.WaitSubscribers(limit(t), add.topic, add.match))
	}
	require.NoError(t, pub.WaitSubscribers(limit(t), "ab", 3))
	require.Error(t, pub.WaitSubscribers(try(), "ab", 4))
	require.NoError(t, pub.WaitSubscribers(try(), "whatever", 0))
}

// RFC 29: an XPUB shows the first subscription to a topic and the last cancellation of it, or with WithVerbose every subscription. A
// peer that is lost cancels what it had.
func TestRFC29_XPubShowsSubscriptions(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		eachTransport(t, func(t *testing.T, transport string) {
			var opts []socket.Option
			if verbose {
				opts = append(opts, socket.WithVerbose())
			}
			xpub, a, b := socket.NewXPub(opts...), socket.NewSub(), socket.NewSub()
			endpoint := join(t, transport, xpub, a)
			closing(t, b)
			require.NoError(t, b.Connect(endpoint))
			require.NoError(t, xpub.WaitPeers(limit(t), 2))
			require.NoError(t, b.WaitPeers(limit(t), 1)) // else it tells both topics at once, in no order
			require.NoError(t, a.Subscribe("x"))
			m := recv(t, xpub)
			requireMsg(t, m, "\x01x")
			assert.Equal(t, "SUB", m.Peer().SocketType())
			require.NoError(t, b.Subscribe("x", "y"))
			if verbose {
				requireMsg(t, recv(t, xpub), "\x01x")
			}
			requireMsg(t, recv(t, xpub), "\x01y")
			require.NoError(t, a.Unsubscribe("x"))
			require.NoError(t, xpub.WaitSubscribers(limit(t), "x", 1))
			require.NoError(t, b.Close())
			got := []string{recv(t, xpub).String()}
			m = recv(t, xpub)
			assert.ElementsMatch(t, []string{"\x00x", "\x00y"}, append(got, m.String()))
			require.NotNil(t, m.Peer())
			assert.NotEmpty(t, m.Peer().Address())
			_, err := xpub.Recv(soon(t))
			assert.ErrorIs(t, err, socket.ErrTimeout)
		})
	}
}

// RFC 29: an XSUB sends to all its publishers; an XPUB receives that. Messages that start with 1 or 0 are subscriptions.
func TestRFC29_XSubUpstream(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub, xsub := socket.NewXPub(), socket.NewXSub()
		join(t, transport, xpub, xsub)
		require.NoError(t, xsub.WaitPeers(limit(t), 1))
		send(t, xsub, "hello", "upstream")
		requireMsg(t, recv(t, xpub), "hello", "upstream")
		send(t, xsub, "\x01news")
		requireMsg(t, recv(t, xpub), "\x01news")
		send(t, xpub, "news.1")
		requireMsg(t, recv(t, xsub), "news.1")
		send(t, xsub, "\x00news")
		requireMsg(t, recv(t, xpub), "\x00news")
		require.ErrorIs(t, xsub.Send(limit(t), text("\x00news")), socket.ErrState)
		send(t, xpub, "news.2")
		send(t, xsub, "\x01")
		requireMsg(t, recv(t, xpub), "\x01")
		send(t, xpub, "anything")
		requireMsg(t, recv(t, xsub), "anything")
	})
}

// RFC 29: a PUB discards messages that peers send it; here they are counted.
func TestRFC29_PubDiscardsMessages(t *testing.T) {
	t.Parallel()
	pub, xsub := socket.NewPub(), socket.NewXSub()
	join(t, "inproc", pub, xsub)
	require.NoError(t, xsub.WaitPeers(limit(t), 1))
	send(t, xsub, "hello")
	require.Eventually(t, func() bool { return pub.Stats().Dropped[socket.DropUnwanted] == 1 }, sockettest.Timeout, time.Millisecond)
}

// An XSUB and an XPUB with two loops between them are a proxy: subscriptions go up, messages come down.
func TestXSubXPub_Proxy(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, xsub, xpub, sub := socket.NewPub(), socket.NewXSub(), socket.NewXPub(), socket.NewSub()
		closing(t, pub, xsub, xpub, sub)
		front, back := fresh(t, transport), fresh(t, transport)
		if transport == "inproc" {
			back += "/back"
		}
		require.NoError(t, pub.Connect(bind(t, xsub, front)))
		require.NoError(t, sub.Connect(bind(t, xpub, back)))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		pass := func(from iter.Seq2[socket.Msg, error], to sender) {
			for m, err := range from {
				assert.NoError(t, err)
				assert.NoError(t, to.Send(ctx, m.Frames...))
			}
		}
		wg.Go(func() { pass(xsub.Messages(ctx), xpub) })
		wg.Go(func() { pass(xpub.Messages(ctx), xsub) })
		for range 3 {
			require.NoError(t, sub.Subscribe("a", "b"))
			require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
			require.NoError(t, pub.WaitSubscribers(limit(t), "b", 1))
			for i := range 100 {
				send(t, pub, "c", "not wanted")
				send(t, pub, "a", fmt.Sprint(i))
				requireMsg(t, recv(t, sub), "a", fmt.Sprint(i))
			}
			require.NoError(t, sub.Unsubscribe("a", "b"))
			require.Eventually(t, func() bool {
				return pub.WaitSubscribers(try(), "a", 1) != nil && pub.WaitSubscribers(try(), "b", 1) != nil
			}, sockettest.Timeout, time.Millisecond)
		}
	})
}
