package pubsub_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
)

// note is an event whose value refers to memory.
type note struct {
	Number int
	Text   string
	Body   []byte
}

func noteOf(i int) note {
	body := make([]byte, []int{0, 10, 300, 9000}[i%4])
	for k := range body {
		body[k] = byte(i + k)
	}
	return note{i, fmt.Sprintf("note %d", i), body}
}

// connected returns a publisher that drops nothing, and its subscriber.
func connected(t *testing.T) (*pubsub.Publisher, *pubsub.Subscriber) {
	p := pubsub.NewPublisher(patterns.WithSource("desk"), pubsub.WithSlowSubscribers(socket.Block))
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	s := pubsub.NewSubscriber()
	t.Cleanup(func() { s.Close() })
	require.NoError(t, s.Connect(addr))
	return p, s
}

// What a handler keeps stays as it was: memory is used again for what no handler is given.
func TestSubscriber_HandlersKeepWhatTheyGet(t *testing.T) {
	const events, topics = 2000, 3
	p, s := connected(t)
	type kept struct {
		ctx   context.Context
		topic string
		v     note
	}
	got := make(chan kept, events)
	_, err := pubsub.Subscribe(s, "notes.>", func(ctx context.Context, topic string, v note) error {
		got <- kept{ctx, topic, v}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, p.WaitSubscribers(within(t), "notes.a", 1))
	run(t, s)
	for i := range events {
		require.NoError(t, p.Publish(within(t), fmt.Sprintf("notes.n%d", i%topics), noteOf(i)))
	}
	var all []kept
	for range events {
		all = append(all, <-got)
	}
	ids := map[string]bool{}
	for i, k := range all {
		want := noteOf(i)
		require.Equal(t, fmt.Sprintf("notes.n%d", i%topics), k.topic)
		require.True(t, want.Number == k.v.Number && want.Text == k.v.Text && slices.Equal(want.Body, k.v.Body), "event %d", i)
		e := patterns.FromContext(k.ctx)
		require.Equal(t, "desk", e.Source)
		ids[e.ID.String()] = true
	}
	require.Len(t, ids, events)
}

// A topic that has come before is for those who are subscribed when it comes again.
func TestSubscriber_NoticesOtherPatternsForATopicItKnows(t *testing.T) {
	p, s := connected(t)
	first, topics, _ := subscribe[Created](t, s, "orders.*")
	require.NoError(t, p.WaitSubscribers(within(t), "orders.eu", 1))
	run(t, s)
	publish := func() { require.NoError(t, p.Publish(within(t), "orders.eu", Created{1})) }
	for range 3 {
		publish()
		require.Equal(t, "orders.eu", <-topics)
	}
	_, others, _ := subscribe[Created](t, s, "orders.>")
	publish()
	require.Equal(t, "orders.eu", <-topics)
	require.Equal(t, "orders.eu", <-others)
	require.NoError(t, first.Unsubscribe())
	publish()
	require.Equal(t, "orders.eu", <-others)
	require.Empty(t, topics)
}

// An event of a kind that has come before is refused, fails and panics as the first of it does.
func TestSubscriber_KnownKindsFailAsOthersDo(t *testing.T) {
	hook, errs := errorHook()
	p, s := pair(t, hook)
	done := make(chan int, 1)
	_, err := pubsub.Subscribe(s, "orders.>", func(_ context.Context, _ string, v Created) error {
		defer func() { done <- v.Number }()
		switch v.Number {
		case 2:
			return patterns.ErrInvalid
		case 3:
			panic("three")
		case 4:
			runtime.Goexit()
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, p.WaitSubscribers(within(t), "orders.eu", 1))
	run(t, s)
	for i := range 4 {
		for _, n := range []int{1, i + 1} { // who takes over where a handler ended the goroutine knows none
			require.NoError(t, p.Publish(within(t), "orders.eu", Created{n}))
			require.Equal(t, n, <-done)
		}
	}
	require.ErrorIs(t, <-errs, patterns.ErrInvalid)
	require.ErrorIs(t, <-errs, patterns.ErrPanic)
	failed := <-errs
	require.ErrorContains(t, failed, "Goexit")
	require.NoError(t, p.Publish(within(t), "orders.eu", Cancelled{"another type"}))
	require.ErrorIs(t, <-errs, patterns.ErrType)
	require.NoError(t, s.Shutdown(within(t)))
	counts := s.Counts()
	require.Equal(t, []uint64{5, 3, 1}, []uint64{counts.Handled, counts.Failed, counts.Malformed})
}

// Plain events of a topic that has come before take next to no memory of their own: bytes and contexts come in pieces. It is three allocations each where they do
// not, and half of one more where the race detector has pools forget.
func TestSubscriber_PlainEventsTakeLittleMemory(t *testing.T) {
	const events = 5000
	p, s := connected(t)
	got, all := 0, make(chan struct{}, 1)
	_, err := pubsub.Subscribe(s, "orders.>", func(context.Context, string, note) error {
		if got++; got%events == 0 {
			all <- struct{}{}
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, p.WaitSubscribers(within(t), "orders.eu", 1))
	run(t, s)
	ctx, v := within(t), &note{Body: []byte(strings.Repeat("b", 100))}
	publish := func() {
		for range events {
			require.NoError(t, p.Publish(ctx, "orders.eu.created", v))
		}
		<-all
	}
	publish()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	publish()
	runtime.ReadMemStats(&after)
	require.Less(t, float64(after.Mallocs-before.Mallocs)/events, 2.0)
}
