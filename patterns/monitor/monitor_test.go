package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/monitor"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// limit bounds every wait of a test.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// run runs m until the test ends, and returns where.
func run(t *testing.T, m *monitor.Monitor) string {
	t.Helper()
	addr, err := m.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		assert.NoError(t, m.Close())
		assert.NoError(t, <-ended)
	})
	return addr
}

// ask returns a client of the monitor at addr.
func ask(t *testing.T, addr string, opts ...patterns.Option) *reqrep.Client {
	t.Helper()
	c := reqrep.NewClient(opts...)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Connect(addr))
	return c
}

// What a worker and its producer did is told to whoever asks, in msgpack and in JSON.
func TestGetTellsOfWork(t *testing.T) {
	t.Parallel()
	ctx := limit(t)
	worker := pushpull.NewWorker[int](patterns.WithAtLeastOnce())
	producer := pushpull.NewProducer[int](patterns.WithSpool(t.TempDir(), spool.Options{}))
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, producer.Connect(addr))
	worked := make(chan error)
	go func() {
		worked <- worker.Run(context.Background(), func(context.Context, int) error { return nil })
	}()
	for n := range 3 {
		require.NoError(t, producer.Send(ctx, n))
	}
	require.NoError(t, producer.WaitAcked(ctx))
	require.NoError(t, worker.Close())
	require.NoError(t, <-worked)

	m := monitor.New("desk")
	require.NoError(t, m.Watch("work", worker))
	require.NoError(t, m.Watch("orders", producer))
	at := run(t, m)
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		s, err := monitor.Get(ctx, ask(t, at, patterns.WithCodec(c)))
		require.NoError(t, err)
		p := s.Process
		assert.Equal(t, "desk", p.Name)
		assert.Equal(t, os.Getpid(), p.PID)
		assert.Equal(t, runtime.Version(), p.Go)
		assert.NotEmpty(t, p.ID)
		assert.Positive(t, p.Goroutines)
		assert.Positive(t, p.Memory)
		assert.Positive(t, p.Heap)
		assert.WithinRange(t, s.Time, p.Started, time.Now().Add(time.Minute))
		require.Len(t, s.Sockets, 2)
		orders, work := s.Sockets[0], s.Sockets[1]
		assert.Equal(t, "orders PUSH, work PULL", orders.Name+" "+orders.Type+", "+work.Name+" "+work.Type)
		assert.EqualValues(t, 3, orders.MessagesOut)
		assert.EqualValues(t, 3, work.MessagesIn)
		require.NotNil(t, orders.Spool)
		assert.Zero(t, orders.Spool.Pending)
		assert.EqualValues(t, 3, orders.Spool.Settled)
		require.NotNil(t, work.Receiver)
		assert.EqualValues(t, 3, work.Receiver.Handled)
		assert.Equal(t, 1, orders.Connected+orders.Seeking)
		require.Len(t, orders.Peers, 1)
		assert.Equal(t, addr, orders.Peers[0].Endpoint)
		require.NotNil(t, orders.Delayed)
		assert.Nil(t, work.Spool)
	}
	require.NoError(t, producer.Close())
}

// fake says and tells what a test wants.
type fake struct {
	stats  socket.Stats
	events chan socket.Event // nil: none
}

func (f *fake) Stats() socket.Stats { return f.stats }

func (f *fake) Events(ctx context.Context) iter.Seq[socket.Event] {
	return func(yield func(socket.Event) bool) {
		for {
			select {
			case e, ok := <-f.events:
				if !ok || !yield(e) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// However many sockets, peers and durable subscriptions there are, a Snapshot is of some size at most. Who is in trouble is in it.
func TestSnapshotIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\x1b", 5000)
	var stats socket.Stats
	for n := range 300 {
		stats.Peers = append(stats.Peers, socket.PeerStats{Endpoint: long, Connected: true, QueueMessages: n, MessagesIn: 1})
		stats.Endpoints = append(stats.Endpoints, long)
	}
	stats.Peers = append(stats.Peers, socket.PeerStats{Endpoint: "tcp://away:1"}, socket.PeerStats{Endpoint: "tcp://gone:1", GaveUp: true})
	stats.Spool = &socket.SpoolStats{Broken: errors.New(long)}
	for n := range 300 {
		stats.Spool.Durables = append(stats.Spool.Durables, socket.DurableStats{Name: long, Lag: uint64(n)})
	}
	m := monitor.New("many")
	t.Cleanup(func() { _ = m.Close() })
	require.NoError(t, m.Watch("one", &fake{stats: stats}))

	one := m.Snapshot().Sockets[0]
	require.Len(t, one.Peers, 40)
	assert.Equal(t, "tcp://away:1 tcp://gone:1", one.Peers[0].Endpoint+" "+one.Peers[1].Endpoint)
	assert.Equal(t, 299, one.Peers[2].QueueMessages, "then those with the most to send")
	assert.Equal(t, []int{300, 1, 1}, []int{one.Connected, one.Seeking, one.GaveUp})
	assert.Equal(t, 300*299/2, one.QueueMessages)
	assert.Equal(t, 262, one.Others.Peers)
	assert.Equal(t, 262, one.Others.Connected)
	assert.EqualValues(t, 262, one.Others.MessagesIn)
	assert.Equal(t, 261*262/2, one.Others.QueueMessages)
	assert.EqualValues(t, 299, one.Spool.Durables[0].Lag)
	assert.Equal(t, monitor.Behind{Durables: 260, Lag: 259 * 260 / 2}, *one.Spool.Others)
	for _, text := range []string{one.Peers[2].Endpoint, one.Endpoints[0], one.Spool.Broken, one.Spool.Durables[0].Name} {
		assert.LessOrEqual(t, len(text), 160)
		assert.True(t, strings.HasPrefix(text, `\x1b\x1b`) && strings.HasSuffix(text, "..."), text)
	}

	for n := range 250 {
		require.NoError(t, m.Watch(fmt.Sprint(n, long), &fake{stats: stats}))
	}
	s := m.Snapshot()
	assert.Len(t, s.Sockets, 200)
	assert.Equal(t, 51, s.Omitted)
	assert.Len(t, s.Sockets[0].Peers, 5)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	assert.Less(t, len(text), 4<<20)
}

// Events that say that something was lost are in the Snapshot, alike ones once, and a storm of one kind does not drive out others.
func TestTroubleIsSummedUp(t *testing.T) {
	t.Parallel()
	f := &fake{events: make(chan socket.Event)}
	m := monitor.New("desk")
	t.Cleanup(func() { _ = m.Close() })
	require.NoError(t, m.Watch("orders", f))
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.events <- socket.Event{Kind: socket.DeadLettered, Time: at, Err: errors.New("message 7: no such \x1b item"), Count: 1}
	for n := range 1000 {
		f.events <- socket.Event{Kind: socket.Dropped, Time: at.Add(time.Duration(n) * time.Second), Endpoint: "tcp://a:1", Reason: socket.DropFull, Count: 2}
		f.events <- socket.Event{Kind: socket.Connected}
	}
	f.events <- socket.Event{Kind: socket.Connected} // taken when what was before is noted
	assert.Equal(t, []monitor.Trouble{
		{Socket: "orders", Kind: "dead letter", First: at, Last: at, Times: 1, Count: 1, Text: `dead letter: message 7: no such \x1b item`},
		{Socket: "orders", Kind: "dropped", First: at, Last: at.Add(999 * time.Second), Times: 1000, Count: 2000, Text: "dropped tcp://a:1 2 (queue full)"},
	}, m.Snapshot().Trouble)

	for n := range 100 {
		f.events <- socket.Event{Kind: socket.HandshakeFailed, Time: at, Endpoint: fmt.Sprint(n)}
	}
	f.events <- socket.Event{Kind: socket.Connected}
	trouble := m.Snapshot().Trouble
	require.Len(t, trouble, 64)
	assert.Equal(t, "handshake failed 99", trouble[63].Text)
}

// Names are as those of package metrics, and may be used again.
func TestWatch(t *testing.T) {
	t.Parallel()
	m := monitor.New("desk")
	require.NoError(t, m.Watch("a", &fake{}))
	assert.EqualError(t, m.Watch("a", &fake{}), `watch socket "a": the name is taken, want another`)
	assert.EqualError(t, m.Watch("\xff", &fake{}), `watch socket "\xff": the name is a label, want UTF-8`)
	assert.EqualError(t, m.Watch("b", nil), `watch socket "b": there is nothing to watch, want other than nil`)
	assert.EqualError(t, m.WatchSpool("b", nil), `watch spool "b": there is nothing to watch, want other than nil`)
	m.Forget("a")
	assert.NoError(t, m.Watch("a", &fake{}))
	assert.Len(t, m.Snapshot().Sockets, 1)
	require.NoError(t, m.Close())
	assert.ErrorIs(t, m.Watch("b", &fake{}), socket.ErrClosed)
}

// slowToEnd takes its time to stop telling.
type slowToEnd struct {
	fake
	ended atomic.Bool
}

func (s *slowToEnd) Events(ctx context.Context) iter.Seq[socket.Event] {
	return func(func(socket.Event) bool) {
		<-ctx.Done()
		for range 10_000 {
			runtime.Gosched()
		}
		s.ended.Store(true)
	}
}

// When Close returns nobody follows events any more.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	s := new(slowToEnd)
	m := monitor.New("desk")
	require.NoError(t, m.Watch("a", s))
	require.NoError(t, m.Close())
	assert.True(t, s.ended.Load())
}

// A log that is used without a socket is told of, with who is behind.
func TestWatchSpool(t *testing.T) {
	t.Parallel()
	log, err := spool.Open(t.TempDir(), spool.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	m := monitor.New("desk")
	t.Cleanup(func() { _ = m.Close() })
	require.NoError(t, m.WatchSpool("journal", log))
	logs := m.Snapshot().Logs
	require.Len(t, logs, 1)
	assert.Equal(t, "journal", logs[0].Name)
	assert.Positive(t, logs[0].Bytes)
	assert.Empty(t, logs[0].Damaged)
}

// However many ask, sockets are asked for their Stats at most ten times a second.
func TestAskersShareASnapshot(t *testing.T) {
	t.Parallel()
	m := monitor.New("desk")
	client := ask(t, run(t, m))
	seen := make(map[time.Time]bool)
	begin := time.Now()
	for range 50 {
		s, err := monitor.Get(limit(t), client)
		require.NoError(t, err)
		seen[s.Time] = true
	}
	assert.LessOrEqual(t, len(seen), 1+int(time.Since(begin)/(100*time.Millisecond)))
}

// With CURVE only who knows the server's key, and is let in, gets an answer.
func TestOnlyWhoMayAsk(t *testing.T) {
	t.Parallel()
	ctx := limit(t)
	server, operator := socket.NewKeyPair(), socket.NewKeyPair()
	with := func(opts ...socket.Option) patterns.Option { return patterns.WithSocketOptions(opts...) }
	var events = make(chan socket.Event, 100)
	m := monitor.New("desk", with(socket.WithCurveServer(server), socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.HandshakeFailed {
			select {
			case events <- e:
			default:
			}
		}
	})))
	at := run(t, m)
	_, err := monitor.Get(ctx, ask(t, at, with(socket.WithCurveClient(operator, server.Public))))
	require.NoError(t, err)
	stranger := ask(t, at)
	select {
	case e := <-events:
		assert.Equal(t, socket.RefusedMechanism, e.Refusal)
	case <-ctx.Done():
		t.Fatal("the stranger was never refused")
	}
	_, err = monitor.Get(ctx, stranger)
	assert.ErrorIs(t, err, socket.ErrNoPeer)
}
