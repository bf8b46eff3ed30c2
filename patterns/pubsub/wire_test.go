package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// With WithExactTopics a subscription without wildcards gets nothing else over the wire; other subscribers are served as ever.
func TestExactTopics(t *testing.T) {
	t.Parallel()
	p := pubsub.NewPublisher(pubsub.WithExactTopics())
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	hook, errs := errorHook()
	exact, plain, raw := pubsub.NewSubscriber(pubsub.WithExactTopics(), hook), pubsub.NewSubscriber(hook), socket.NewSub()
	t.Cleanup(func() { raw.Close() })
	_, one, _ := subscribe[Created](t, exact, "orders.eu")
	_, _, ends := subscribe[Created](t, exact, "end.*")
	_, two, _ := subscribe[Created](t, plain, "orders.eu")
	require.NoError(t, raw.Subscribe("orders.eu"))
	for _, s := range []interface{ Connect(string) error }{exact, plain, raw} {
		require.NoError(t, s.Connect(addr))
	}
	run(t, exact)
	run(t, plain)
	ctx := within(t)
	require.NoError(t, p.WaitSubscribers(ctx, "orders.eu", 3))
	require.NoError(t, p.WaitSubscribers(ctx, "end.*", 1))
	topics := []string{"orders.eu", "orders.eu2", "orders.eu.a", "end.all"}
	for _, topic := range topics {
		require.NoError(t, p.Publish(ctx, topic, Created{1}))
	}
	for _, topic := range topics[:3] {
		m, err := raw.Recv(ctx)
		require.NoError(t, err)
		assert.Equal(t, topic+"\x00", string(m.Frames[0]))
	}
	<-ends
	assert.Equal(t, "orders.eu", <-one)
	assert.Equal(t, "orders.eu", <-two)
	assert.EqualValues(t, 2, exact.Stats().MessagesIn, "orders.eu and end.all")
	assert.Empty(t, errs)

	inexact := pubsub.NewPublisher()
	t.Cleanup(func() { inexact.Close() })
	addr, err = inexact.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, exact.Connect(addr))
	assert.ErrorIs(t, <-errs, pubsub.ErrInexact)
}

func TestLastValuesGreetNewSubscribers(t *testing.T) {
	t.Parallel()
	p := pubsub.NewPublisher(pubsub.WithLastValues(100, 1<<20), pubsub.WithSequence(0), pubsub.WithExactTopics())
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	for i := range 10 {
		require.NoError(t, p.Publish(within(t), []string{"price.tea", "price.coffee", "stock.tea"}[i%3], Created{i}))
	}
	hook, errs := errorHook()
	s := pubsub.NewSubscriber(pubsub.WithGapDetection(0), hook)
	_, topics, values := subscribe[Created](t, s, "price.*")
	require.NoError(t, s.Connect(addr))
	run(t, s)
	assert.Equal(t, "price.coffee", <-topics)
	assert.Equal(t, Created{7}, <-values)
	assert.Equal(t, "price.tea", <-topics)
	assert.Equal(t, Created{9}, <-values)
	require.NoError(t, p.Publish(within(t), "price.tea", Created{10}))
	assert.Equal(t, Created{10}, <-values)
	assert.Empty(t, errs)
	assert.Equal(t, pubsub.GapCounts{Numberings: 2}, s.Gaps())
}

// Each pattern that was there before Connect finds its last events, also where what is before the wildcard of one lets through all of another.
func TestLastValuesOfPatternsThatOverlap(t *testing.T) {
	t.Parallel()
	for _, exact := range [][]patterns.Option{nil, {pubsub.WithExactTopics()}} {
		p := pubsub.NewPublisher(append(exact, pubsub.WithLastValues(100, 1<<20))...)
		t.Cleanup(func() { p.Close() })
		addr, err := p.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, p.Publish(within(t), "price.eu.tea", Created{1}))
		require.NoError(t, p.Publish(within(t), "price.eu.coffee", Created{2}))
		s := pubsub.NewSubscriber(exact...)
		_, _, tea := subscribe[Created](t, s, "price.*.tea")
		_, _, coffee := subscribe[Created](t, s, "price.eu.coffee")
		require.NoError(t, s.Connect(addr))
		run(t, s)
		assert.Equal(t, Created{1}, <-tea)
		assert.Equal(t, Created{2}, <-coffee)
	}
}

// A subscriber on a lossy link learns which events it missed, of all that it is subscribed to as a whole and of nothing else.
func TestGapsAreReported(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	p := pubsub.NewPublisher(pubsub.WithSequence(1))
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	s := pubsub.NewSubscriber(pubsub.WithGapDetection(0), hook)
	_, _, orders := subscribe[Created](t, s, "orders.>")
	some, _, parts := subscribe[Created](t, s, "stock.tea")
	require.NoError(t, s.Connect(addr))
	run(t, s)
	ctx := within(t)
	require.NoError(t, p.WaitSubscribers(ctx, "stock.tea", 1))
	publish := func(topic string, n int) {
		t.Helper()
		require.NoError(t, p.Publish(ctx, topic, Created{n}))
	}
	publish("orders.1.created", 1)
	assert.Equal(t, Created{1}, <-orders)
	publish("stock.tea", 2)
	publish("stock.coffee", 3) // not subscribed to, and no gap
	publish("stock.tea", 4)
	assert.Equal(t, Created{2}, <-parts)
	assert.Equal(t, Created{4}, <-parts)
	require.NoError(t, s.Disconnect(addr))
	require.Eventually(t, func() bool { return len(p.Topics()) == 0 }, time.Minute, time.Millisecond)
	publish("orders.2.created", 5)
	publish("orders.3.created", 6)
	require.NoError(t, s.Connect(addr))
	require.NoError(t, p.WaitSubscribers(ctx, "stock.tea", 1))
	publish("orders.4.created", 7)
	assert.Equal(t, Created{7}, <-orders)
	gap, ok := errors.AsType[*pubsub.GapError](<-errs)
	require.True(t, ok)
	assert.Equal(t, pubsub.GapError{Topic: "orders.", Numbering: gap.Numbering, From: 2, To: 3}, *gap)
	require.NoError(t, some.Unsubscribe())
	require.NoError(t, p.Pub.Send(ctx, []byte("orders.x"), nil, []byte("no number")))
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)
	assert.Equal(t, pubsub.GapCounts{Gaps: 1, Missing: 2, Numberings: 1}, s.Gaps())
}

func TestSequencePublishesInOrder(t *testing.T) {
	t.Parallel()
	p := pubsub.NewPublisher(pubsub.WithSequence(0), pubsub.WithSlowSubscribers(socket.Block))
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	hook, errs := errorHook()
	s := pubsub.NewSubscriber(pubsub.WithGapDetection(0), hook)
	_, _, seen := subscribe[int](t, s, "t")
	require.NoError(t, s.Connect(addr))
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "t", 1))
	const n = 20
	for range 5 {
		go func() { // ends by itself; what it publishes is awaited below
			for range n {
				assert.NoError(t, p.Publish(within(t), "t", 1))
			}
		}()
	}
	for range 5 * n {
		<-seen
	}
	assert.Empty(t, errs)
	assert.Equal(t, pubsub.GapCounts{Numberings: 1}, s.Gaps())
}

func TestExpiredEventsAreNotHandled(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	p, s := pair(t, hook)
	_, _, seen := subscribe[Created](t, s, "a")
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "a", 1))
	require.NoError(t, p.Publish(within(t), "a", Created{1}, patterns.WithTTL(0)))
	require.NoError(t, p.Publish(within(t), "a", Created{2}, patterns.WithHeader(patterns.HeaderExpires, "soon")))
	require.NoError(t, p.Publish(within(t), "a", Created{3}, patterns.WithTTL(time.Hour)))
	assert.Equal(t, Created{3}, <-seen)
	assert.ErrorIs(t, <-errs, patterns.ErrExpired)
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)
}

func TestMiddlewareSeesEvents(t *testing.T) {
	t.Parallel()
	type seen struct {
		kind  patterns.Kind
		topic string
		value any
	}
	deliveries := make(chan seen, 10)
	p, s := pair(t, patterns.WithMiddleware(func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			deliveries <- seen{d.Kind, d.Name, d.Value}
			return next(ctx, d)
		}
	}))
	_, _, got := subscribe[Created](t, s, "a.*")
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "a.b", 1))
	require.NoError(t, p.Publish(within(t), "a.b", Created{1}))
	assert.Equal(t, Created{1}, <-got)
	assert.Equal(t, seen{patterns.Event, "a.b", &Created{1}}, <-deliveries)
}

func TestEventOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]patterns.Option{
		"WithDurable":         {pubsub.WithDurable("x", spool.End())},
		"WithGapDetection":    {pubsub.WithGapDetection(0)},
		"WithLogOn(nil)":      {pubsub.WithLogOn(nil)},
		"WithSequence(-1)":    {pubsub.WithSequence(-1)},
		"WithSequence(1) exc": {pubsub.WithSequence(1), pubsub.WithLastValues(1, 1)},
		"WithLastValue":       {pubsub.WithLastValues(0, 1)},
		"WithDropPolicy":      {pubsub.WithSlowSubscribers(99)},
	} {
		p := pubsub.NewPublisher(opts...)
		err := p.Publish(t.Context(), "a", 1)
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, want)
		assert.NoError(t, p.Close())
	}
	for want, opts := range map[string][]patterns.Option{
		"WithLastValues":      {pubsub.WithLastValues(1, 1)},
		"WithLog":             {pubsub.WithLog(t.TempDir(), spool.Options{})},
		"WithSequence":        {pubsub.WithSequence(0)},
		"WithSlowSubscribers": {pubsub.WithSlowSubscribers(socket.Block)},
		"WithGapDetection":    {pubsub.WithGapDetection(-1)},
		"WithDurable and":     {pubsub.WithGapDetection(0), pubsub.WithDurable("x", spool.End())},
		"WithDurable":         {pubsub.WithDurable("a b", spool.End())},
	} {
		s := pubsub.NewSubscriber(opts...)
		assert.ErrorIs(t, s.Run(t.Context()), socket.ErrOption)
		assert.ErrorContains(t, s.Run(t.Context()), want)
		assert.NoError(t, s.Close())
	}
}
