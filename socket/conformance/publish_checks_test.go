package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// What RFC 29 says of PUB and XPUB in the same words is checked here, and of SUB and XSUB.

type publisher interface {
	connector
	sender
	WaitSubscribers(ctx context.Context, topic string, n int) error
	TopicCount() int
}

type subscriber interface {
	connector
	recver
	Subscribe(topics ...string) error
	Unsubscribe(topics ...string) error
	WaitSubscribed(ctx context.Context, n int) error
}

func awaitSubscribers(t *testing.T, s publisher, topic string, n int) {
	t.Helper()
	require.NoError(t, s.WaitSubscribers(limit(t), topic, n))
}

// awaitTopics waits until the subscribers of s have n topics.
func awaitTopics(t *testing.T, s publisher, n int) {
	t.Helper()
	eventually(t, func() bool { return s.TopicCount() == n }, "topics")
}

// subscribed is a SUB or XSUB with these topics.
func subscribed[S subscriber](t *testing.T, s S, topics ...string) S {
	t.Helper()
	require.NoError(t, s.Subscribe(topics...))
	return s
}

// subscribe asks for topics as a raw peer and waits until s has dealt with it.
func subscribe(raw *sockettest.RawPeer, topics ...string) {
	for _, topic := range topics {
		raw.Subscribe(topic)
	}
	synced(raw)
}

// synced returns when everything that the raw peer sent has been dealt with, commands included.
func synced(raw *sockettest.RawPeer) {
	raw.SendCommand("PING", []byte("\x00\x00synced"))
	raw.ExpectCommand("PONG")
}

// flood publishes large messages to a subscriber that reads nothing, without ever waiting in Send, until its queue stays full. It returns how
// many of them are queued or on their way.
func flood(t *testing.T, s publisher) (kept int) {
	t.Helper()
	body := strings.Repeat("f", 64<<10)
	for n := 1; ; n++ {
		require.Less(t, n, 10_000, "nothing is dropped")
		require.NoError(t, trySend(s, fmt.Sprint("old ", n-1), body))
		dropped := s.Stats().Dropped[socket.DropFull]
		if dropped == 0 {
			continue
		}
		<-soon(t).Done() // in which what is being written arrives
		n++
		require.NoError(t, trySend(s, fmt.Sprint("old ", n-1), body))
		if s.Stats().Dropped[socket.DropFull] > dropped && dropped >= 3 {
			return n - int(s.Stats().Dropped[socket.DropFull])
		}
	}
}

// checkSlowSubscriber wants s to have a high-water mark of 10. One subscriber reads nothing; another one gets everything.
func checkSlowSubscriber(t *testing.T, transport string, s publisher) {
	endpoint := bound(t, transport, s)
	slow := named(t, endpoint, "SUB", "slow")
	subscribe(slow, "")
	fast := subscribed(t, socket.NewSub(), "")
	closing(t, fast)
	connect(t, fast, endpoint)
	awaitSubscribers(t, s, "", 2)
	body := strings.Repeat("f", 64<<10)
	sent := 0
	for ; s.Stats().Dropped[socket.DropFull] < 5; sent++ {
		require.NoError(t, trySend(s, fmt.Sprint(sent), body), "it never blocks")
		requireRecv(t, fast, fmt.Sprint(sent), body)
		require.Less(t, sent, 10_000, "nothing is dropped")
	}
	for _, peer := range s.Stats().Peers {
		if name, _ := peer.Peer.Property("X-Name"); name == "slow" {
			assert.LessOrEqual(t, peer.QueueMessages, 10)
			assert.EqualValues(t, 5, peer.Dropped[socket.DropFull])
		} else {
			assert.Empty(t, peer.Dropped)
		}
	}
	next := 0
	for range sent - 5 { // all but five, in order
		var i int
		_, err := fmt.Sscan(slow.ReadMessage()[0], &i)
		require.NoError(t, err)
		require.GreaterOrEqual(t, i, next)
		next = i + 1
	}
}

// checkQueueNeedsSubscription connects s to a SUB that comes and goes.
func checkQueueNeedsSubscription(t *testing.T, transport string, s publisher) {
	closing(t, s)
	l := listenRaw(t, fresh(transport))
	connect(t, s, l.Endpoint)
	for round := range 3 {
		raw := l.Peer("SUB")
		awaitPeers(t, s, 1)
		require.NoError(t, trySend(s, "before it subscribed"))
		subscribe(raw, "")
		require.NoError(t, trySend(s, fmt.Sprint(round)))
		require.Equal(t, []string{fmt.Sprint(round)}, raw.ReadMessage())
		gone := watch(t, s)
		raw.Close()
		gone(socket.Disconnected)
		require.NoError(t, trySend(s, "nobody is subscribed"))
	}
	assert.Empty(t, s.Stats().Dropped, "what nobody subscribed to is not dropped")
}

// checkDestroysSubscriberQueue has a subscriber that connected to s go while messages are queued for it, and another one come.
func checkDestroysSubscriberQueue(t *testing.T, transport string, s publisher) {
	endpoint := bound(t, transport, s)
	raw := rawPeer(t, endpoint, "SUB")
	subscribe(raw, "")
	flood(t, s)
	queued := s.Stats().Peers[0].QueueMessages
	require.Positive(t, queued)
	gone := watch(t, s)
	raw.Close()
	gone(socket.Disconnected)
	require.Empty(t, s.Stats().Peers)
	require.NotZero(t, s.Stats().Dropped[socket.DropPeerGone])

	raw = rawPeer(t, endpoint, "SUB")
	subscribe(raw, "")
	send(t, s, "new")
	require.Equal(t, []string{"new"}, raw.ReadMessage())
	raw.ExpectSilence(20 * time.Millisecond)
}

// checkPublishesAsIs publishes all sorts of messages.
func checkPublishesAsIs(t *testing.T, transport string, s publisher) {
	raw := rawPeer(t, bound(t, transport, s), "SUB")
	subscribe(raw, "")
	for _, frames := range oddMessages() {
		send(t, s, frames...)
		require.Equal(t, frames, raw.ReadMessage())
	}
}

// checkPrefixes publishes under topics that match subscriptions as bytes, and under others.
func checkPrefixes(t *testing.T, transport string, s publisher) {
	endpoint := bound(t, transport, s)
	for _, tc := range []struct {
		topic     string
		yes, nope []string
	}{
		{"a", []string{"a", "ab", "a\x00"}, []string{"", "b", "A", "ba"}},
		{"\x00\xff", []string{"\x00\xff", "\x00\xff\xff"}, []string{"\x00", "\xff\x00", "\x00\xfe"}},
		{"ä", []string{"ä", "äx"}, []string{"\xc3", "a"}},
		{"", []string{"", "x"}, nil},
		{strings.Repeat("t", 300), []string{strings.Repeat("t", 300), strings.Repeat("t", 301)}, []string{strings.Repeat("t", 299)}},
	} {
		raw := rawPeer(t, endpoint, "SUB")
		subscribe(raw, tc.topic)
		for _, topic := range tc.nope {
			send(t, s, topic, tc.topic) // only the first frame counts
		}
		for _, topic := range tc.yes {
			send(t, s, topic, "second")
			require.Equal(t, []string{topic, "second"}, raw.ReadMessage())
		}
		raw.Close()
	}
}

// checkTakesSubscriptions subscribes and cancels in both forms, as peers of ZMTP 3.1 and 3.0 do.
func checkTakesSubscriptions(t *testing.T, transport string, s publisher) {
	endpoint := bound(t, transport, s)
	for _, minor := range []byte{1, 0} {
		raw := dialRaw(t, endpoint)
		raw.Handshake("SUB", minor)
		raw.Subscribe("t")
		awaitSubscribers(t, s, "t", 1)
		send(t, s, "t", "wanted")
		require.Equal(t, []string{"t", "wanted"}, raw.ReadMessage())
		raw.Cancel("t")
		awaitTopics(t, s, 0)
		send(t, s, "t", "not wanted")
		raw.ExpectSilence(20 * time.Millisecond)
		raw.Close()
	}
}

// checkAsksPublishers has s tell publishers what it wants, those that come later and those that speak ZMTP 3.0 too.
func checkAsksPublishers(t *testing.T, transport string, s subscriber) {
	closing(t, s)
	require.NoError(t, s.Subscribe("early", "early"))
	for minor, form := range map[byte][2]string{1: {"\x04\x0f\x09SUBSCRIBE", "\x04\x0c\x06CANCEL"}, 0: {"\x00\x06\x01", "\x00\x06\x00"}} {
		l := listenRaw(t, fresh(transport))
		connect(t, s, l.Endpoint)
		raw := l.Accept()
		raw.Handshake("XPUB", minor)
		expect := func(form, topic string) { require.Equal(t, form+topic, string(raw.Read(len(form+topic)))) }
		expect(form[0], "early")
		require.NoError(t, s.Subscribe("later"))
		expect(form[0], "later")
		require.NoError(t, s.Unsubscribe("later"))
		expect(form[1], "later")
		require.NoError(t, s.Disconnect(l.Endpoint))
	}
}
