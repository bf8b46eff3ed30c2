package servertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// TestDropped_Queue: what a quota takes while nobody receives is counted and told, and not among what is there: not in the statistics, at the end or at the next opening.
func TestDropped_Queue(t *testing.T) {
	t.Parallel()
	const count = 1000
	nc := connect(t, startNode(t, nil))
	o := jetstream.Options{Quota: 100_000, Full: spool.DropOldest, Patience: quick.Patience}
	var told atomic.Uint64
	push := socket.NewPush(socket.WithSpoolOn(open(t, nc, "orders", o)), socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.Dropped && e.Reason == socket.DropQuota {
			told.Add(e.Count)
		}
	}))
	for range count {
		require.NoError(t, push.Send(bounded(t), make([]byte, 500)))
	}
	stream, err := streamsOf(t, nc).Stream(bounded(t), "orders")
	require.NoError(t, err)
	there := stream.CachedInfo().State.Msgs
	require.Less(t, there, uint64(count/2))
	require.Eventually(t, func() bool {
		return push.Stats().Spool.Messages == there && push.Stats().Dropped[socket.DropQuota] == count-there && told.Load() == count-there
	}, time.Minute, time.Millisecond)
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	err = push.Shutdown(ctx)
	require.ErrorIs(t, err, socket.ErrSpooled)
	require.ErrorContains(t, err, fmt.Sprintf("stay in the spool: %d of them", there))

	push = socket.NewPush(socket.WithSpoolOn(open(t, nc, "orders", o)))
	assert.Equal(t, there, push.Stats().Spool.Messages)
	require.ErrorIs(t, push.Close(), socket.ErrSpooled)
}

// TestDropped_Unseen: what went in the last moment is counted at the end, too.
func TestDropped_Unseen(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s := open(t, nc, "orders", jetstream.Options{Quota: 20_000, Full: spool.DropOldest, Patience: quick.Patience})
	push := socket.NewPush(socket.WithSpoolOn(s))
	for range 100 {
		require.NoError(t, push.Send(bounded(t), make([]byte, 500)))
	}
	stream, err := streamsOf(t, nc).Stream(bounded(t), "orders")
	require.NoError(t, err)
	require.ErrorContains(t, push.Close(), fmt.Sprintf("stay in the spool: %d of them", stream.CachedInfo().State.Msgs))
}

// TestDropped_Topic: what retention takes before a durable subscription has it is lost to that, not waiting.
func TestDropped_Topic(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	o := topic
	o.Retention.Count = 10
	s := open(t, nc, "events", o)
	_, err := s.Consumer("all", spool.Beginning())
	require.NoError(t, err)
	pub := socket.NewPub(socket.WithSpoolOn(s))
	t.Cleanup(func() { _ = pub.Close() })
	publish(t, pub, 1, 101)
	require.Eventually(t, func() bool {
		d := pub.Durables()
		return len(d) == 1 && d[0].Lag == 10 && d[0].Lost == 90
	}, time.Minute, time.Millisecond)
}

// TestStats_AskNobody: statistics of a PUSH do not wait for servers. They say since when the oldest message waits.
func TestStats_AskNobody(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	s := open(t, connect(t, n), "orders", quick)
	push := socket.NewPush(socket.WithSpoolOn(s))
	t.Cleanup(func() { _ = push.Close() })
	for i := range uint64(5) {
		require.NoError(t, push.Send(bounded(t), []byte(text(i+1))))
	}
	oldest := next(t, reader(t, s, 0)).Time
	require.Eventually(t, func() bool { return push.Stats().Spool.Oldest.Equal(oldest) }, time.Minute, time.Millisecond)
	other := connect(t, n)
	direct, err := other.SubscribeSync("$JS.API.DIRECT.GET.>")
	require.NoError(t, err)
	leader, err := other.SubscribeSync("$JS.API.STREAM.MSG.GET.>")
	require.NoError(t, err)
	require.NoError(t, other.Flush())
	for range 10 {
		assert.Equal(t, uint64(5), push.Stats().Spool.Messages)
	}
	require.NoError(t, s.Flush(bounded(t)))
	require.NoError(t, other.Flush())
	for _, sub := range []*nats.Subscription{direct, leader} {
		asked, _, err := sub.Pending()
		require.NoError(t, err)
		assert.Zero(t, asked)
	}
}
