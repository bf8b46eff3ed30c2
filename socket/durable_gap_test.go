package socket_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// short is a log that keeps little: a segment or two.
var short = spool.Options{SegmentSize: 64 << 10, Policy: spool.OS, Retention: spool.Retention{Count: 10}}

// TestDurable_SaysWhatIsGone: row 36 of the fault plan. What retention took from a subscriber that was away is an error of Recv, an event and a figure, and what is
// there comes behind it; it is said again to who did not show that it knows.
func TestDurable_SaysWhatIsGone(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), short))
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	defer pub.Close()
	publish(t, pub, 0, 3)
	sub := durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck())
	m := recv(t, sub)
	require.NoError(t, m.Ack())
	require.NoError(t, sub.Close())
	awaitLag(t, pub, "late", 2)
	body := make([]byte, 4<<10)
	for range 100 {
		require.NoError(t, pub.Send(limit(t), text("t"), body))
	}
	require.Eventually(t, func() bool { return pub.Stats().Spool.Bytes < 400<<10 }, time.Minute, time.Millisecond)

	var first *socket.MissedError
	for round := range 2 { // the first one ends before it has acknowledged anything
		sub = socket.NewSub(socket.WithDurable("late", spool.Beginning()), swift(), socket.WithManualAck())
		event := watch(t, sub)
		require.NoError(t, sub.Subscribe("t"))
		require.NoError(t, sub.Connect(endpoint))
		_, err := sub.Recv(limit(t))
		var missed *socket.MissedError
		require.ErrorAs(t, err, &missed)
		require.ErrorIs(t, err, socket.ErrMissed)
		assert.Equal(t, fmt.Sprint("late", 2, false), fmt.Sprint(missed.Name, missed.From, missed.Damaged))
		if round == 0 {
			first = missed
			assert.Equal(t, missed.To-missed.From+1, sub.Stats().Missed)
		}
		assert.GreaterOrEqual(t, missed.To, first.To)
		m := recv(t, sub)
		mark, _ := m.Mark()
		assert.Equal(t, missed.To+1, mark.Number)
		if round == 1 {
			require.NoError(t, m.Ack())
			require.Eventually(t, func() bool { return pub.Durables()[0].Position == mark.Number }, time.Minute, time.Millisecond, "what is lost is done with")
			require.NoError(t, pub.Send(limit(t), text("t"), text("end")))
			require.NotEmpty(t, event(socket.Missed).Err.Error())
		}
		require.NoError(t, sub.Close())
		require.Eventually(t, func() bool { return pub.Durables()[0].Members == 0 }, time.Minute, time.Millisecond)
	}
	assert.GreaterOrEqual(t, pub.Durables()[0].Lost, first.To-first.From+1)
}

// TestDurable_LostIsSaidAgain: row 36. What a member acknowledges that it had before it was told of the loss does not show that it knows: who comes next is told of all of it again.
func TestDurable_LostIsSaidAgain(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), short))
	defer pub.Close()
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	sub := durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck(), socket.WithAckCredit(2, 1<<30), socket.WithAckDelay(0))
	publish(t, pub, 0, 2)
	open := []socket.Msg{recv(t, sub), recv(t, sub)}
	for range 100 {
		require.NoError(t, pub.Send(limit(t), text("t"), make([]byte, 4<<10)))
	}
	require.Eventually(t, func() bool { return pub.Stats().Spool.Bytes < 400<<10 }, time.Minute, time.Millisecond)
	acked := uint64(0)
	ack := func() {
		require.NoError(t, open[0].Ack())
		open, acked = open[1:], acked+1
		require.Eventually(t, func() bool { return pub.Durables()[0].Acked == acked }, time.Minute, time.Millisecond)
	}
	for pub.Durables()[0].Lost == 0 { // what is left of the segment that is being read
		ack()
		require.Eventually(t, func() bool { return pub.Durables()[0].Delivered >= acked+2 }, time.Minute, time.Millisecond)
		if pub.Durables()[0].Lost == 0 {
			open = append(open, recv(t, sub))
		}
	}
	lost := pub.Durables()[0].Lost
	ack() // it was sent before LOST
	require.NoError(t, sub.Close())
	require.Eventually(t, func() bool { return pub.Durables()[0].Members == 0 }, time.Minute, time.Millisecond)

	sub = durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck())
	defer sub.Close()
	var err error
	for err == nil { // what was not acknowledged may be there
		_, err = sub.Recv(limit(t))
	}
	var missed *socket.MissedError
	require.ErrorAs(t, err, &missed)
	assert.GreaterOrEqual(t, missed.To-missed.From+1, lost)
}

// TestDurable_LostIsSaidToAll: to members that take nothing, too, and to those that come before one of them shows that it knows.
func TestDurable_LostIsSaidToAll(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), short))
	defer pub.Close()
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	told := func(sub *socket.Sub) {
		m, err := sub.Recv(limit(t))
		for ; err == nil; m, err = sub.Recv(limit(t)) { // what is left of the segment that is being read
			require.NoError(t, m.Ack())
		}
		require.ErrorAs(t, err, new(*socket.MissedError))
	}
	member := func(credit int) *socket.Sub {
		sub := durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck(), socket.WithAckCredit(credit, 1<<20))
		closing(t, sub)
		return sub
	}
	one, other := member(0), member(0)
	require.Eventually(t, func() bool { d := pub.Durables(); return len(d) == 1 && d[0].Members == 2 }, time.Minute, time.Millisecond)
	for range 100 {
		require.NoError(t, pub.Send(limit(t), text("t"), make([]byte, 4<<10)))
	}
	require.Eventually(t, func() bool { return pub.Stats().Spool.Bytes < 400<<10 }, time.Minute, time.Millisecond)
	require.NoError(t, one.SetAckCredit(1, 1<<20))
	told(one)
	told(other)
	told(member(0))
}

// TestDurable_WaitsForNoWordOfALoss: WaitAcked does not wait until a member shows that it knows of what is lost: it may be subscribed to nothing that comes behind that.
func TestDurable_WaitsForNoWordOfALoss(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), short))
	defer pub.Close()
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	sub := durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck())
	require.Eventually(t, func() bool { return len(pub.Durables()) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, sub.Close())
	require.Eventually(t, func() bool { return pub.Durables()[0].Members == 0 }, time.Minute, time.Millisecond)
	publish(t, pub, 0, 5)
	for range 100 {
		require.NoError(t, pub.Send(limit(t), text("other"), make([]byte, 4<<10)))
	}
	require.Eventually(t, func() bool { return pub.Stats().Spool.Bytes < 400<<10 }, time.Minute, time.Millisecond)

	sub = durable(t, endpoint, "late", spool.Beginning(), socket.WithManualAck())
	defer sub.Close()
	_, err := sub.Recv(limit(t))
	var missed *socket.MissedError
	require.ErrorAs(t, err, &missed)
	require.NoError(t, pub.WaitAcked(limit(t)))
	d := pub.Durables()[0]
	assert.Equal(t, 1, d.Members)
	assert.Less(t, d.Position, missed.To, "it is not confirmed")
	require.NoError(t, pub.Send(limit(t), text("t"), nil))
	require.ErrorIs(t, pub.WaitAcked(soon(t)), socket.ErrTimeout, "a message is waited for")
}

// TestDurable_ReplaysWhileTheLogMoves: row 35 of the fault plan. Names that begin at the beginning, in the middle, at the end, by number and by time, read what is
// written and let go of meanwhile: each message comes once, in order, or is in a gap that was told of before what lies behind it.
func TestDurable_ReplaysWhileTheLogMoves(t *testing.T) {
	t.Parallel()
	o := short
	o.Retention.Count = 300
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), o), socket.WithSendHWM(0))
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	defer pub.Close()
	const n = 3000
	publishes := func(from, until int) {
		for i := from; i < until; i++ {
			if !assert.NoError(t, pub.Send(limit(t), text("t"), ordinal(i, 1000))) {
				return
			}
		}
	}
	const gone, kept, half = 11, 1401, n/2 + 1 // numbers
	publishes(0, gone-1)
	long := instant(t)
	publishes(gone-1, kept-1)
	late := instant(t)
	publishes(kept-1, half-1)
	require.Eventually(t, func() bool { return pub.Stats().Spool.Bytes < 1<<20 }, time.Minute, time.Millisecond)
	live := socket.NewSub(socket.WithRecvHWM(0))
	require.NoError(t, live.Subscribe("t"))
	require.NoError(t, live.Connect(endpoint))
	defer live.Close()
	require.NoError(t, pub.WaitSubscribers(limit(t), "t", 1))
	var all sync.WaitGroup
	for name, c := range map[string]struct {
		from spool.Start
		at   uint64
	}{
		"first": {spool.At(1), 1}, "gone": {spool.At(gone), gone}, "long-ago": {spool.Since(long), 1}, // of what is gone nobody knows the times
		"middle": {spool.At(kept), kept}, "since": {spool.Since(late), kept}, "end": {spool.End(), half},
	} {
		sub := socket.NewSub(socket.WithDurable(name, c.from), socket.WithAckCredit(50, 1<<20))
		defer sub.Close()
		event := watch(t, sub)
		require.NoError(t, sub.Subscribe("t"))
		require.NoError(t, sub.Connect(endpoint))
		require.Equal(t, c.at, event(socket.Resumed).From, name)
		all.Go(func() { assert.Equal(t, c.at < kept, replays(t, sub, c.at, n), "%s: are messages missing?", name) })
	}
	all.Go(func() { publishes(half-1, n) })
	all.Wait()
	requireOrdinals(t, live, half-1, n)
}

// instant returns a time after all that is done, and before all that comes.
func instant(t *testing.T) time.Time {
	t.Helper()
	at := time.Now().Add(time.Millisecond)
	require.Eventually(t, func() bool { return time.Now().After(at) }, time.Minute, time.Millisecond)
	return at
}

// replays receives the messages next..last, and reports whether it was told at the beginning that some are missing.
func replays(t *testing.T, sub *socket.Sub, next, last uint64) (missing bool) {
	begun, gone := next, map[uint64]bool{}
	for next <= last {
		m, err := sub.Recv(limit(t))
		var missed *socket.MissedError
		if errors.As(err, &missed) {
			missing = missing || missed.From == begun
			for i := missed.From; i <= missed.To; i++ {
				if !assert.False(t, gone[i] || i < next, "%d is gone twice, or came", i) {
					return missing
				}
				gone[i] = true
			}
			for gone[next] {
				next++
			}
			continue
		}
		mark, _ := m.Mark()
		if !assert.NoError(t, err) || !assert.Equal(t, next, mark.Number) || !assert.Equal(t, ordinal(int(next-1), 1000), m.Frames[1]) {
			return missing
		}
		for next++; gone[next]; next++ {
		}
	}
	return missing
}

// TestDurable_SlowOnesHoldUpNobody: live subscribers and other names get everything while one takes nothing.
func TestDurable_SlowOnesHoldUpNobody(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	live := socket.NewSub()
	require.NoError(t, live.Subscribe("t"))
	require.NoError(t, live.Connect(endpoint))
	slow := durable(t, endpoint, "slow", spool.Beginning(), socket.WithAckCredit(1, 1))
	quick := durable(t, endpoint, "quick", spool.Beginning())
	for _, s := range []*socket.Sub{live, slow, quick} {
		defer s.Close()
	}
	require.NoError(t, pub.WaitSubscribers(limit(t), "t", 3))
	publish(t, pub, 0, 300)
	requireOrdinals(t, live, 0, 300)
	requireOrdinals(t, quick, 0, 300)
	requireOrdinals(t, slow, 0, 1)
	assert.Equal(t, 300, lag(pub, "slow"))
	told := 0
	for _, p := range pub.Peers() {
		if _, out := p.Acknowledged(); out {
			require.ErrorIs(t, pub.SendTo(limit(t), p, text("t")), socket.ErrState)
			told++
		}
	}
	assert.Equal(t, 2, told)
}

// TestDurable_KeepsKeysInOrder: three members handle the messages of six keys, refuse some of them and one of them ends; each key's messages are handled in order.
func TestDurable_KeepsKeysInOrder(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithRetry(time.Millisecond, 5*time.Millisecond), socket.WithAttempts(0),
		socket.WithMessageKey(func(frames [][]byte) []byte { return frames[1] }))
	defer pub.Close()
	const keys, each = 6, 60
	for i := range keys * each {
		require.NoError(t, pub.Send(limit(t), text("t"), []byte{byte(i % keys)}, []byte{byte(i / keys)}))
	}
	var mu sync.Mutex
	next, refused, by := map[byte]byte{}, map[[2]byte]bool{}, map[byte]int{}
	handle := func(member int, m socket.Msg) {
		mu.Lock()
		defer mu.Unlock()
		key, i := m.Frames[1][0], m.Frames[2][0]
		if at := [2]byte{key, i}; i%20 == 7 && !refused[at] && next[key] == i {
			refused[at], by[key] = true, member
			assert.NoError(t, m.Nack(socket.Nack{}))
			return
		}
		if i > next[key] { // sent before the refusal of one before it was known
			assert.Equal(t, member, by[key], "key %d: %d came before %d", key, i, next[key])
			_ = m.Nack(socket.Nack{After: time.Millisecond})
			return
		}
		if i == next[key] {
			next[key]++
		} else {
			assert.True(t, m.Redelivered(), "key %d: %d comes again, %d is next", key, i, next[key])
		}
		_ = m.Ack()
	}
	var members sync.WaitGroup
	subs := make([]*socket.Sub, 3)
	for i := range subs {
		subs[i] = durable(t, endpoint, "keys", spool.Beginning(), socket.WithKeyOrder(), socket.WithManualAck(), socket.WithAckCredit(10, 1<<20))
		members.Go(func() {
			n := 0
			for m, err := range subs[i].Messages(limit(t)) {
				if n++; !assert.NoError(t, err) || i == 0 && n == 20 {
					return
				}
				handle(i+1, m)
			}
		})
		if i == 0 {
			members.Wait()
		}
	}
	require.NoError(t, subs[0].Close()) // with what it has
	awaitLag(t, pub, "keys", 0)
	for _, s := range subs[1:] {
		require.NoError(t, s.Close())
	}
	members.Wait()
	for key := range byte(keys) {
		assert.Equal(t, byte(each), next[key])
	}
	assert.Len(t, slices.Collect(maps.Keys(refused)), keys*3)
}

// TestDurable_RefusesInWords: nobody who asks for a durable subscription is left without one in silence.
func TestDurable_RefusesInWords(t *testing.T) {
	t.Parallel()
	forbidden := socket.WithDurableAuthorizer(func(_ *socket.Peer, name string) error {
		if name == "secret" {
			return errors.New("not for you")
		}
		return nil
	})
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), forbidden, socket.WithMaxDurables(2))
	defer pub.Close()
	event := watch(t, pub)
	ask := func(endpoint, name string, kind socket.EventKind, options ...socket.Option) string {
		sub := socket.NewSub(append(options, socket.WithDurable(name, spool.End()))...)
		defer sub.Close()
		next := watch(t, sub)
		require.NoError(t, sub.Subscribe(""))
		require.NoError(t, sub.Connect(endpoint))
		e := next(kind)
		if e.Err == nil {
			return ""
		}
		return e.Err.Error()
	}
	assert.Empty(t, ask(endpoint, "one", socket.Resumed))
	assert.Contains(t, ask(endpoint, "secret", socket.Disconnected), `durable_subscription_"secret":_forbidden_by_the_authorizer:_not_for_you`)
	assert.Equal(t, "secret", event(socket.Forbidden).Name)
	member := durable(t, endpoint, "two", spool.End())
	defer member.Close()
	event(socket.Resumed)
	assert.Contains(t, ask(endpoint, "two", socket.Disconnected, socket.WithKeyOrder()), "WithKeyOrder_all,_or_none")
	assert.Contains(t, ask(endpoint, "three", socket.Disconnected), "there_are_2,_WithMaxDurables_allows_no_more")
	require.ErrorIs(t, pub.RemoveDurable("two"), socket.ErrState)
	assert.GreaterOrEqual(t, pub.Stats().Forbidden, uint64(1))

	bare := socket.NewPub()
	defer bare.Close()
	events := bare.Events(limit(t))
	assert.Contains(t, ask(bind(t, bare, "tcp://127.0.0.1:0"), "one", socket.HandshakeFailed), "keeps no log")
	told := ""
	for e := range events { // HandshakeFailed, or Disconnected if it was done on that side
		if e.Err != nil {
			told = e.Err.Error()
			break
		}
	}
	assert.Contains(t, told, "keeps_no_log", "the publisher is told why")
	require.ErrorIs(t, bare.RemoveDurable("one"), socket.ErrState)
	require.ErrorIs(t, bare.Flush(limit(t)), socket.ErrState)
	assert.Nil(t, bare.Durables())

	plain, where := sockettest.Listen(t) // a publisher of another library
	said := make(chan string)
	go func() { said <- ask(where, "one", socket.HandshakeFailed) }()
	raw := sockettest.AcceptRaw(t, plain)
	raw.SendGreeting(1, "NULL")
	raw.ReadGreeting()
	raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PUB"})
	assert.Contains(t, <-said, "keeps no log")
}
