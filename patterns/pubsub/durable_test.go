package pubsub_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// swift has what failed come again without keeping a test waiting.
func swift(more ...socket.Option) patterns.Option {
	return patterns.WithSocketOptions(append(more, socket.WithRetry(time.Millisecond, 2*time.Millisecond), socket.WithAttempts(3))...)
}

// logged returns a publisher with a log in dir, and where it listens.
func logged(t *testing.T, dir string, opts ...patterns.Option) (*pubsub.Publisher, string) {
	t.Helper()
	p := pubsub.NewPublisher(append([]patterns.Option{pubsub.WithLog(dir, spool.Options{Policy: spool.OS, SegmentSize: 64 << 10})}, opts...)...)
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	return p, addr
}

// drained waits until the name has handled all that was published.
func drained(t *testing.T, p *pubsub.Publisher, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, d := range p.Durables() {
			if d.Name == name {
				return d.Lag == 0
			}
		}
		return false
	}, time.Minute, time.Millisecond)
}

// The pause that a handler of events asks for is kept, however the publisher's own would be.
func TestDurableRetryAfterAsLongAsTheHandlerSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		at, tries := make(chan time.Time, 10), 0
		s := pubsub.NewSubscriber(pubsub.WithDurable("ledger", spool.Beginning()), patterns.WithOnError(func(context.Context, error) {}))
		_, err := pubsub.Subscribe(s, "a.>", func(context.Context, string, Created) error {
			at <- time.Now()
			if tries++; tries < 2 {
				return patterns.RetryAfter(errors.New("not yet"), time.Hour)
			}
			return nil
		})
		require.NoError(t, err)
		addr, err := s.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		var p *pubsub.Publisher
		for _, name := range []string{"other", "log"} { // the other is there because of bubbles, as in package pushpull
			p = pubsub.NewPublisher(pubsub.WithLog(filepath.Join(dir, name), spool.Options{Policy: spool.OS, SegmentSize: 64 << 10}), swift())
			defer p.Close()
			require.NoError(t, p.Connect(addr))
		}
		require.NoError(t, s.WaitPeers(t.Context(), 2))
		run(t, s)
		require.NoError(t, p.Publish(t.Context(), "a.b", Created{1}))
		first, second := <-at, <-at
		pause := second.Sub(first)
		assert.GreaterOrEqual(t, pause, time.Hour)
		assert.Less(t, pause, time.Hour+time.Minute)
		drained(t, p, "ledger")
		assert.Empty(t, at)
	})
}

func TestDurableSubscriberCatchesUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	p, addr := logged(t, dir)
	first := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.Beginning()))
	_, _, seen := subscribe[Created](t, first, "orders.*")
	require.NoError(t, first.Connect(addr))
	ended := make(chan error, 1)
	go func() { ended <- first.Run(context.Background()) }() // ended by Shutdown, awaited below
	require.NoError(t, p.Publish(within(t), "orders.eu", Created{1}))
	assert.Equal(t, Created{1}, <-seen)
	drained(t, p, "billing")
	require.NoError(t, first.Shutdown(within(t)))
	require.NoError(t, <-ended)
	for i := 2; i < 5; i++ {
		require.NoError(t, p.Publish(within(t), "orders.eu", Created{i}))
	}
	require.NoError(t, p.Publish(within(t), "orders.eu.late", Created{9}))
	second := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.End()))
	_, _, seen = subscribe[Created](t, second, "orders.*")
	require.NoError(t, second.Connect(addr))
	run(t, second)
	for i := 2; i < 5; i++ {
		assert.Equal(t, Created{i}, <-seen)
	}
	drained(t, p, "billing") // the event that no pattern matches exactly among them
}

// What handlers return decides: nil acknowledges, an error has the event come again, in the pause asked for; a permanent one makes it a dead letter.
func TestDurableHandlersDecide(t *testing.T) {
	t.Parallel()
	dead := make(chan socket.DeadLetter, 10)
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), swift(socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d })))
	hook, errs := errorHook()
	s := pubsub.NewSubscriber(pubsub.WithDurable("ledger", spool.Beginning()), hook)
	attempts := make(chan int, 100)
	_, err := pubsub.Subscribe(s, "a.>", func(ctx context.Context, topic string, c Created) error {
		switch attempts <- c.Number; c.Number {
		case 1:
			if len(attempts) == 1 {
				return patterns.RetryAfter(errors.New("not yet"), time.Millisecond)
			}
		case 2:
			return patterns.Permanent(errors.New("never"))
		case 3:
			panic("always")
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, s.Connect(addr))
	run(t, s)
	for _, publish := range []func() error{
		func() error { return p.Publish(within(t), "a.b", Created{1}) },
		func() error { return p.Publish(within(t), "a.b", Created{2}) },
		func() error { return p.Publish(within(t), "a.b", Created{3}) },
		func() error { return p.Publish(within(t), "a.b", Cancelled{}) },
		func() error { return p.Publish(within(t), "a.b", Created{4}, patterns.WithTTL(-time.Second)) },
		func() error { return p.Pub.Send(within(t), []byte("a.b"), []byte("no envelope")) },
	} {
		require.NoError(t, publish())
		drained(t, p, "ledger")
	}
	close(attempts)
	var got []int
	for n := range attempts {
		got = append(got, n)
	}
	assert.Equal(t, []int{1, 1, 2, 3, 3, 3}, got, "the expired one reached no handler")
	for _, want := range []string{"never", "handler panicked: always", "unexpected type", "malformed message"} {
		assert.Contains(t, (<-dead).Reason, want)
	}
	assert.Empty(t, dead, "what has expired is no dead letter")
	var kinds []error
	for len(errs) > 0 {
		kinds = append(kinds, <-errs)
	}
	require.Len(t, kinds, 8)
	assert.ErrorContains(t, kinds[0], "not yet")
	assert.ErrorIs(t, kinds[1], patterns.ErrPermanent)
	for _, err := range kinds[2:5] {
		assert.ErrorIs(t, err, patterns.ErrPanic)
	}
	assert.ErrorIs(t, kinds[5], patterns.ErrType)
	assert.ErrorIs(t, kinds[6], patterns.ErrExpired)
	assert.ErrorIs(t, kinds[7], patterns.ErrMalformed)
}

// An event with several handlers is done with when all have succeeded: if one fails all get it again.
func TestDurableEventWithSeveralHandlers(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), swift())
	hook, _ := errorHook()
	s := pubsub.NewSubscriber(pubsub.WithDurable("ledger", spool.Beginning()), hook)
	_, _, all := subscribe[Created](t, s, "a.*")
	tries := 0
	_, err := pubsub.Subscribe(s, "a.b", func(context.Context, string, Created) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	require.NoError(t, err)
	_, err = pubsub.Subscribe(s, "*.b", func(context.Context, string, Created) error {
		return patterns.Permanent(errors.New("never")) // which counts when the others are done
	})
	require.NoError(t, err)
	require.NoError(t, s.Connect(addr))
	require.NoError(t, p.Publish(within(t), "a.b", Created{1}))
	run(t, s)
	drained(t, p, "ledger")
	assert.Len(t, all, 3)
	assert.Equal(t, 3, tries)
	assert.EqualValues(t, 1, p.Durables()[0].DeadLettered)
}

// Retention that is less than the time away is told, with the range, and the rest is handled.
func TestDurableSubscriberIsToldWhatIsGone(t *testing.T) {
	t.Parallel()
	p := pubsub.NewPublisher(pubsub.WithLog(filepath.Join(t.TempDir(), "log"), spool.Options{
		Policy: spool.OS, SegmentSize: 64 << 10, Retention: spool.Retention{Count: 1},
	}))
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	subscribe := func(hook patterns.Option) (*pubsub.Subscriber, chan string) {
		s, seen := pubsub.NewSubscriber(pubsub.WithDurable("slow", spool.Beginning()), hook), make(chan string, 1000)
		_, err := pubsub.Subscribe(s, ">", func(_ context.Context, topic string, _ []byte) error { seen <- topic; return nil })
		require.NoError(t, err)
		require.NoError(t, s.Connect(addr))
		return s, seen
	}
	hook, _ := errorHook()
	s, seen := subscribe(hook)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended by Shutdown, awaited below
	require.NoError(t, p.Publish(within(t), "first", []byte{}))
	<-seen
	drained(t, p, "slow")
	require.NoError(t, s.Shutdown(within(t)))
	require.NoError(t, <-ended)
	for range 40 {
		require.NoError(t, p.Publish(within(t), "large", make([]byte, 20<<10)))
	}
	require.NoError(t, p.Publish(within(t), "last", []byte{}))
	hook, errs := errorHook()
	s, seen = subscribe(hook)
	run(t, s)
	var missed *socket.MissedError
	require.ErrorAs(t, <-errs, &missed)
	assert.EqualValues(t, 2, missed.From)
	for topic := range seen {
		if topic == "last" {
			break
		}
	}
	assert.Equal(t, missed.To-missed.From+1, s.Stats().Missed)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	log, err := spool.Open(filepath.Join(t.TempDir(), "log"), spool.Options{Kind: spool.Topic, Policy: spool.OS})
	require.NoError(t, err)
	p := pubsub.NewPublisher(pubsub.WithLogOn(socket.SpoolOf(log)))
	defer p.Close()
	for i := range 10 {
		topic := []string{"orders.created", "orders.paid"}[i%2]
		require.NoError(t, p.Publish(within(t), topic, Created{i}, patterns.WithTTL(-1)))
	}
	var got []int
	replay := func(from spool.Start, pattern string) (uint64, error) {
		got = nil
		return pubsub.Replay(t.Context(), log, from, pattern, func(ctx context.Context, topic string, c Created) error {
			assert.NotNil(t, patterns.FromContext(ctx))
			got = append(got, c.Number)
			if c.Number == 8 {
				panic("eight")
			}
			return nil
		})
	}
	next, err := replay(spool.Beginning(), "orders.paid")
	require.NoError(t, err)
	assert.EqualValues(t, 11, next)
	assert.Equal(t, []int{1, 3, 5, 7, 9}, got)
	next, err = replay(spool.At(6), "orders.*")
	require.ErrorIs(t, err, patterns.ErrPanic)
	assert.ErrorContains(t, err, "replay event 9")
	assert.EqualValues(t, 9, next)
	assert.Equal(t, []int{5, 6, 7, 8}, got)
	next, err = replay(spool.End(), ">")
	require.NoError(t, err)
	assert.EqualValues(t, 11, next)
	require.NoError(t, p.Publish(within(t), "orders.cancelled", Cancelled{}))
	require.NoError(t, p.Pub.Send(within(t), []byte("orders.created"), []byte("no envelope")))
	next, err = replay(spool.At(next), "orders.>")
	assert.ErrorIs(t, err, patterns.ErrType)
	assert.EqualValues(t, 11, next)
	next, err = replay(spool.At(next+1), "orders.>")
	assert.ErrorIs(t, err, patterns.ErrMalformed)
	assert.EqualValues(t, 12, next)
	_, err = replay(spool.Beginning(), "a..b")
	assert.ErrorIs(t, err, pubsub.ErrTopic)
}

// A name that is new begins where its first subscriber says.
func TestDurableSubscriberBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"))
	publish := func(n int) { require.NoError(t, p.Publish(within(t), "orders", Created{n})) }
	publish(1)
	publish(2)
	middle := time.Now().Add(time.Millisecond)
	require.Eventually(t, func() bool { return time.Now().After(middle) }, time.Minute, time.Millisecond)
	publish(3)
	publish(4)
	begins := map[string]struct {
		from  spool.Start
		first int
	}{
		"beginning": {spool.Beginning(), 1}, "end": {spool.End(), 5}, "number": {spool.At(2), 2}, "time": {spool.Since(middle), 3},
	}
	seen := map[string]<-chan Created{}
	for name, c := range begins {
		s := pubsub.NewSubscriber(pubsub.WithDurable(name, c.from))
		_, _, seen[name] = subscribe[Created](t, s, "orders")
		require.NoError(t, s.Connect(addr))
		run(t, s)
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(p.Durables(), func(d socket.DurableStats) bool { return d.Name == name })
		}, time.Minute, time.Millisecond)
	}
	publish(5)
	for name, c := range begins {
		for n := c.first; n <= 5; n++ {
			assert.Equal(t, Created{n}, <-seen[name], name)
		}
		drained(t, p, name)
	}
}

// Events have leases, as work has: one whose handler hangs goes to another of the name, sooner or later, and one context is that of all its handlers.
func TestFault27_EventsWithLeases(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), patterns.WithSocketOptions(socket.WithAttempts(1<<20)))
	durable := pubsub.WithDurable("billing", spool.Beginning())
	hook, _ := errorHook()
	slow := pubsub.NewSubscriber(durable, patterns.WithLease(100*time.Millisecond), hook)
	contexts := make(chan context.Context, 2)
	for range 2 {
		_, err := pubsub.Subscribe(slow, "orders", func(ctx context.Context, _ string, _ Created) error {
			select {
			case contexts <- ctx:
			default:
			}
			return context.Cause(wait(ctx))
		})
		require.NoError(t, err)
	}
	require.NoError(t, slow.Connect(addr))
	run(t, slow)
	require.NoError(t, p.Publish(within(t), "orders", Created{1}))
	require.ErrorIs(t, context.Cause(wait(<-contexts)), socket.ErrLease)
	require.ErrorIs(t, context.Cause(wait(<-contexts)), socket.ErrLease)
	other := pubsub.NewSubscriber(durable, hook)
	_, _, seen := subscribe[Created](t, other, "orders")
	require.NoError(t, other.Connect(addr))
	run(t, other)
	assert.Equal(t, Created{1}, <-seen)
	drained(t, p, "billing")
	assert.NotZero(t, slow.Counts().Unanswered)
	assert.ErrorIs(t, pubsub.NewSubscriber(patterns.WithLease(1)).Connect(addr), socket.ErrOption, "no WithDurable")
}

func wait(ctx context.Context) context.Context {
	<-ctx.Done()
	return ctx
}

// Where leases run, as many events are here as there are handlers, unless more are asked for.
func TestPrefetchOfLeases(t *testing.T) {
	t.Parallel()
	for want, opts := range map[uint64][]patterns.Option{
		3:   {patterns.WithConcurrency(3), patterns.WithLease(time.Hour)},
		7:   {patterns.WithConcurrency(3), patterns.WithLease(time.Hour), patterns.WithPrefetch(7)},
		256: {patterns.WithConcurrency(3)},
	} {
		s := pubsub.NewSubscriber(append(opts, pubsub.WithDurable("x", spool.End()))...)
		t.Cleanup(func() { s.Close() })
		addr, err := s.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		raw := sockettest.DialRaw(t, addr)
		raw.Handshake("PUB", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		messages, _, err := zmtp.ParseCredit(raw.ExpectCommand("CREDIT"))
		require.NoError(t, err)
		assert.Equal(t, want, messages)
	}
}
