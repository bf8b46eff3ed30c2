package servertest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// topic are the options of a publisher's log.
var topic = jetstream.Options{Kind: spool.Topic, Patience: quick.Patience}

// publisher returns a PUB whose log is in JetStream, and where it listens.
func publisher(t *testing.T, n *node, options ...socket.Option) (*socket.Pub, string) {
	t.Helper()
	pub := socket.NewPub(append([]socket.Option{socket.WithSpoolOn(open(t, connect(t, n), "events", topic))}, options...)...)
	t.Cleanup(func() { _ = pub.Close() })
	at, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	return pub, at
}

func publish(t *testing.T, pub *socket.Pub, from, until uint64) {
	t.Helper()
	for n := from; n < until; n++ {
		require.NoError(t, pub.Send(bounded(t), []byte(text(n))))
	}
}

// subscriber returns a member of a durable subscription, which settles messages by hand.
func subscriber(t *testing.T, at, name string, from spool.Start) *socket.Sub {
	t.Helper()
	sub := socket.NewSub(socket.WithDurable(name, from), socket.WithManualAck(), socket.WithAckCredit(20, 1<<20))
	t.Cleanup(func() { _ = sub.Close() })
	require.NoError(t, sub.Subscribe("message"))
	require.NoError(t, sub.Connect(at))
	return sub
}

// handle receives messages from..until-1 in order, and acknowledges them.
func handle(t *testing.T, sub *socket.Sub, from, until uint64) {
	t.Helper()
	for n := from; n < until; n++ {
		msg, err := sub.Recv(bounded(t))
		require.NoError(t, err)
		require.Equal(t, text(n), string(msg.Bytes()))
		require.NoError(t, msg.Ack())
	}
}

// await waits until a durable subscription has handled all messages up to n.
func await(t *testing.T, pub *socket.Pub, name string, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, d := range pub.Durables() {
			if d.Name == name {
				return d.Position == n && d.Members == 0
			}
		}
		return false
	}, time.Minute, time.Millisecond)
}

// TestTopic: a PUB whose log is in JetStream serves durable subscriptions as one on disk does: each begins where it is told, and goes on where it was, though the
// subscriber, the publisher and the server went meanwhile. A name that was removed begins anew.
func TestTopic(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	pub, at := publisher(t, n)
	publish(t, pub, 1, 11)
	later := time.Now().Add(time.Millisecond)
	require.Eventually(t, func() bool { return time.Now().After(later) }, time.Minute, time.Millisecond)
	publish(t, pub, 11, 21)
	starts := map[string]struct {
		from  spool.Start
		first uint64
	}{"beginning": {spool.Beginning(), 1}, "number": {spool.At(6), 6}, "time": {spool.Since(later), 11}, "end": {spool.End(), 21}}
	for name, start := range starts {
		sub := subscriber(t, at, name, start.from)
		handle(t, sub, start.first, 21)
		if name == "end" { // which has been told nothing yet
			require.Eventually(t, func() bool { return members(pub, name) == 1 }, time.Minute, time.Millisecond)
		}
		require.NoError(t, sub.Close())
		await(t, pub, name, 20)
	}
	publish(t, pub, 21, 31)
	require.NoError(t, pub.Close())
	n.stop()
	n.start(t)
	pub, at = publisher(t, n)
	publish(t, pub, 31, 41)
	assert.Len(t, pub.Durables(), len(starts))
	for name := range starts {
		sub := subscriber(t, at, name, spool.Beginning())
		handle(t, sub, 21, 41)
		require.NoError(t, sub.Close())
		await(t, pub, name, 40)
	}
	require.NoError(t, pub.RemoveDurable("end"))
	require.ErrorIs(t, pub.RemoveDurable("end"), spool.ErrNoConsumer)
	handle(t, subscriber(t, at, "end", spool.At(40)), 40, 41)
	require.NoError(t, pub.WaitAcked(bounded(t)))
}

func members(pub *socket.Pub, name string) int {
	for _, d := range pub.Durables() {
		if d.Name == name {
			return d.Members
		}
	}
	return -1
}

// TestTopic_SharesAmongMembers: three share a name. One ends in the middle, and then the server goes and comes again; all messages are handled, by one of them each unless they are marked.
func TestTopic_SharesAmongMembers(t *testing.T) {
	t.Parallel()
	const count = 600
	n := startNode(t, nil)
	pub, at := publisher(t, n)
	var mu sync.Mutex
	handled := map[string]int{}
	note := func(msg *socket.Msg) {
		mu.Lock()
		defer mu.Unlock()
		body := string(msg.Bytes())
		handled[body]++
		assert.True(t, handled[body] == 1 || msg.Redelivered(), "%s twice without a mark", body)
	}
	publish(t, pub, 1, count/2)
	first := subscriber(t, at, "team", spool.Beginning())
	for range 10 { // and acknowledges nothing
		msg, err := first.Recv(bounded(t))
		require.NoError(t, err)
		note(&msg)
	}
	var all sync.WaitGroup
	var others []*socket.Sub
	for range 2 {
		sub := subscriber(t, at, "team", spool.Beginning())
		others = append(others, sub)
		all.Go(func() { // ends when sub is closed
			for msg, err := range sub.Messages(bounded(t)) {
				if assert.NoError(t, err) {
					note(&msg)
					_ = msg.Ack()
				}
			}
		})
	}
	require.NoError(t, first.Close())
	n.stop()
	n.start(t)
	publish(t, pub, count/2, count+1)
	require.NoError(t, pub.WaitAcked(bounded(t)))
	for _, sub := range others {
		require.NoError(t, sub.Close())
	}
	all.Wait()
	assert.Len(t, handled, count)
	await(t, pub, "team", count)
}

// TestTopic_Letters: a message that two names refuse is two dead letters, and one that neither handles again.
func TestTopic_Letters(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	log := open(t, connect(t, n), "events", topic)
	pub := socket.NewPub(socket.WithSpoolOn(log))
	t.Cleanup(func() { _ = pub.Close() })
	at, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	publish(t, pub, 1, 3)
	for _, name := range []string{"one", "two"} {
		sub := subscriber(t, at, name, spool.Beginning())
		msg, err := sub.Recv(bounded(t))
		require.NoError(t, err)
		require.NoError(t, msg.Nack(socket.Reject("not for "+name)))
		handle(t, sub, 2, 3)
		require.NoError(t, pub.WaitAcked(bounded(t))) // one that leaves before it is buried gets it again
		require.NoError(t, sub.Close())
		await(t, pub, name, 2)
	}
	var reasons []string
	for letter, err := range log.Letters(bounded(t)) {
		require.NoError(t, err)
		assert.Equal(t, text(1), string(letter.Frames[0]))
		reasons = append(reasons, fmt.Sprint(letter.Origin, " ", letter.Consumer, ": ", letter.Reason))
	}
	assert.ElementsMatch(t, []string{"1 one: not for one", "1 two: not for two"}, reasons)
}

// TestTopic_Refusals: a publisher's log is a topic, and a PUSH has a queue.
func TestTopic_Refusals(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	_, err := socket.NewPub(socket.WithSpoolOn(open(t, nc, "queue", quick))).Bind("tcp://127.0.0.1:0")
	require.ErrorIs(t, err, socket.ErrOption)
	assert.ErrorContains(t, err, "use spool.Topic")
	_, err = socket.NewPush(socket.WithSpoolOn(open(t, nc, "topic", topic))).Bind("tcp://127.0.0.1:0")
	require.ErrorIs(t, err, socket.ErrOption)
	assert.ErrorContains(t, err, "use spool.Queue")
}
