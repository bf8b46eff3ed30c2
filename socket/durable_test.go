package socket_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// logged returns a publisher with a log, and where it listens.
func logged(t *testing.T, dir string, options ...socket.Option) (*socket.Pub, string) {
	t.Helper()
	pub := socket.NewPub(append([]socket.Option{socket.WithSpool(dir, smallSpool)}, options...)...)
	return pub, bind(t, pub, "tcp://127.0.0.1:0")
}

// durable returns a subscriber to everything, or to a topic, that is connected.
func durable(t *testing.T, endpoint, name string, from spool.Start, options ...socket.Option) *socket.Sub {
	t.Helper()
	sub := socket.NewSub(append([]socket.Option{socket.WithDurable(name, from), swift()}, options...)...)
	require.NoError(t, sub.Subscribe("t"))
	require.NoError(t, sub.Connect(endpoint))
	return sub
}

// publish sends messages to the topic t that carry the numbers from..until-1.
func publish(t *testing.T, pub sender, from, until int) {
	t.Helper()
	for i := from; i < until; i++ {
		require.NoError(t, pub.Send(limit(t), text("t"), ordinal(i, 8)))
	}
}

// requireOrdinals receives messages that carry the numbers from..until-1.
func requireOrdinals(t *testing.T, s recver, from, until int) {
	t.Helper()
	for i := from; i < until; i++ {
		require.Equal(t, i, ordinalOf(socket.Msg{Frames: recv(t, s).Frames[1:]}))
	}
}

// lag returns what the subscription of a name is behind.
func lag(pub interface{ Durables() []socket.DurableStats }, name string) int {
	for _, d := range pub.Durables() {
		if d.Name == name {
			return int(d.Lag)
		}
	}
	return -1
}

// awaitLag waits until a subscription is that much behind.
func awaitLag(t *testing.T, pub interface{ Durables() []socket.DurableStats }, name string, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return lag(pub, name) == want }, time.Minute, time.Millisecond, "%s: lag %d, want %d", name, lag(pub, name), want)
}

func TestDurable_GetsWhatItMissed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	pub, endpoint := logged(t, dir)
	publish(t, pub, 0, 5)
	sub := durable(t, endpoint, "jobs", spool.At(3))
	requireOrdinals(t, sub, 2, 5)
	publish(t, pub, 5, 8)
	requireOrdinals(t, sub, 5, 8)
	require.NoError(t, sub.Close()) // the last one is not acknowledged
	awaitLag(t, pub, "jobs", 1)
	publish(t, pub, 8, 20)
	require.NoError(t, pub.Close())

	pub, endpoint = logged(t, dir)
	defer pub.Close()
	publish(t, pub, 20, 22)
	sub = durable(t, endpoint, "jobs", spool.Beginning())
	defer sub.Close()
	requireOrdinals(t, sub, 7, 22)
	_, err := sub.Recv(try())
	require.Error(t, err)
	awaitLag(t, pub, "jobs", 0)
	assert.Equal(t, uint64(22), pub.Durables()[0].Position)
}

// TestDurable_OthersMissWhatTheyMissed: the log is for those with a name; others get what is published while they are there.
func TestDurable_OthersMissWhatTheyMissed(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	publish(t, pub, 0, 3)
	for next := 3; next < 9; next += 3 {
		sub := socket.NewSub()
		require.NoError(t, sub.Subscribe("t"))
		require.NoError(t, sub.Connect(endpoint))
		require.NoError(t, pub.WaitSubscribers(limit(t), "t", 1))
		publish(t, pub, next, next+1)
		requireOrdinals(t, sub, next, next+1)
		require.NoError(t, sub.Close())
		require.Eventually(t, func() bool { return errors.Is(pub.WaitSubscribers(try(), "t", 1), context.Canceled) }, time.Minute, time.Millisecond)
		publish(t, pub, next+1, next+3)
	}
	assert.Equal(t, uint64(10), pub.Stats().Spool.Next, "all are in the log")
}

func TestDurable_BeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	publish(t, pub, 0, 10)
	later := instant(t)
	publish(t, pub, 10, 20)
	for name, c := range map[string]struct {
		from  spool.Start
		first int
	}{
		"beginning": {spool.Beginning(), 0}, "end": {spool.End(), 20}, "number": {spool.At(6), 5}, "yet-to-come": {spool.At(1000), 20},
		"time": {spool.Since(later), 10}, "long-ago": {spool.Since(time.Unix(0, 1)), 0}, "in-a-while": {spool.Since(later.Add(time.Hour)), 20},
	} {
		sub := socket.NewSub(socket.WithDurable(name, c.from))
		event := watch(t, sub)
		require.NoError(t, sub.Subscribe(""))
		require.NoError(t, sub.Connect(endpoint))
		e := event(socket.Resumed)
		assert.Equal(t, fmt.Sprint(name, " ", c.first+1, " ", 20), fmt.Sprint(e.Name, " ", e.From, " ", e.To))
		requireOrdinals(t, sub, c.first, 20)
		require.NoError(t, sub.Close())
	}
	assert.Len(t, pub.Stats().Spool.Durables, 7)
	require.Eventually(t, func() bool { return !errors.Is(pub.RemoveDurable("end"), socket.ErrState) }, time.Minute, time.Millisecond, "the member leaves")
	require.ErrorIs(t, pub.RemoveDurable("end"), spool.ErrNoConsumer)
	assert.Len(t, pub.Durables(), 6)
}

// TestDurable_SharesAmongMembers: row 33 of the fault plan, in short. One of three ends in the middle; none of the messages is lost, and those that two of them had are marked.
func TestDurable_SharesAmongMembers(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	const n = 600
	publish(t, pub, 0, n)
	var mu sync.Mutex
	seen := map[int]int{}
	count := func(m socket.Msg) {
		mu.Lock()
		defer mu.Unlock()
		i := ordinalOf(socket.Msg{Frames: m.Frames[1:]})
		seen[i]++
		assert.True(t, seen[i] == 1 || m.Redelivered(), "message %d twice without a mark", i)
	}
	subs := make([]*socket.Sub, 3)
	for i := range subs {
		subs[i] = durable(t, endpoint, "team", spool.Beginning(), socket.WithAckCredit(20, 1<<20), socket.WithManualAck())
	}
	for range 10 { // and acknowledges nothing
		count(recv(t, subs[0]))
	}
	require.NoError(t, subs[0].Close())
	var all sync.WaitGroup
	for _, sub := range subs[1:] {
		all.Go(func() {
			for m, err := range sub.Messages(limit(t)) {
				if assert.NoError(t, err) {
					count(m)
					_ = m.Ack()
				}
			}
		})
	}
	awaitLag(t, pub, "team", 0)
	for _, sub := range subs[1:] {
		require.NoError(t, sub.Close())
	}
	all.Wait()
	assert.Len(t, seen, n)
}

// TestDurable_WaitsForWhoHasSubscribed: once WaitSubscribers has returned, WaitAcked waits for that subscriber, also while it is about to become a member.
func TestDurable_WaitsForWhoHasSubscribed(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	closing(t, pub)
	publish(t, pub, 0, 5)
	for i := range 20 {
		sub := durable(t, endpoint, fmt.Sprint("name", i), spool.Beginning(), socket.WithManualAck())
		require.NoError(t, pub.WaitSubscribers(limit(t), "t", 1))
		for inFlight := 0; inFlight < 5; {
			require.ErrorIs(t, pub.WaitAcked(try()), context.Canceled, "nothing is acknowledged")
			if all := pub.Durables(); len(all) > i {
				inFlight = all[slices.IndexFunc(all, func(d socket.DurableStats) bool { return d.Name == fmt.Sprint("name", i) })].InFlight
			}
		}
		require.NoError(t, sub.Close())
		require.Eventually(t, func() bool { return pub.TopicCount() == 0 }, time.Minute, time.Millisecond)
	}
}

// TestDurable_WaitsForMembers: WaitAcked waits for those that are connected, whatever they are subscribed to, and for nobody else; Enqueue is Send in two steps.
func TestDurable_WaitsForMembers(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	publish(t, pub, 0, 5)
	require.NoError(t, pub.WaitAcked(try()), "there is nobody")
	subs := []*socket.Sub{durable(t, endpoint, "one", spool.Beginning(), socket.WithManualAck()), durable(t, endpoint, "two", spool.Beginning(), socket.WithManualAck())}
	live := socket.NewSub()
	defer live.Close()
	require.NoError(t, live.Subscribe("t", "u"))
	require.NoError(t, live.Connect(endpoint))
	require.NoError(t, pub.WaitSubscribers(limit(t), "u", 1))
	for _, sub := range subs {
		for range 5 {
			m := recv(t, sub)
			require.NoError(t, m.Ack())
		}
	}
	require.NoError(t, pub.WaitAcked(limit(t)))
	n, err := pub.Enqueue(limit(t), text("t"), ordinal(5, 8))
	require.NoError(t, err)
	assert.Equal(t, uint64(6), n)
	require.NoError(t, pub.WaitSpooled(limit(t), n))
	n, err = pub.Enqueue(limit(t), text("u"), nil)
	require.NoError(t, err)
	assert.Equal(t, uint64(7), n)
	assert.Equal(t, "t", string(recv(t, live).Frames[0]))
	assert.Equal(t, "u", string(recv(t, live).Frames[0]))
	first := recv(t, subs[0])
	require.NoError(t, first.Ack())
	require.ErrorIs(t, pub.WaitAcked(try()), context.Canceled, "the other one has not")
	require.NoError(t, subs[1].Close())
	require.NoError(t, pub.WaitAcked(limit(t)))
	require.NoError(t, subs[0].Close())
	require.NoError(t, pub.Close())
	require.ErrorIs(t, pub.WaitAcked(limit(t)), socket.ErrClosed)
	require.ErrorIs(t, socket.NewPub().WaitAcked(limit(t)), socket.ErrState)
	require.ErrorIs(t, new(socket.Pub).WaitAcked(limit(t)), socket.ErrState)
}
