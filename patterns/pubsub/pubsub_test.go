package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
)

type Created struct{ Number int }

type Cancelled struct{ Reason string }

// pair returns a publisher and a subscriber that are connected to each other.
func pair(t *testing.T, opts ...patterns.Option) (*pubsub.Publisher, *pubsub.Subscriber) {
	t.Helper()
	p := pubsub.NewPublisher(patterns.WithSource("desk"))
	t.Cleanup(func() { p.Close() })
	addr, err := p.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	s := pubsub.NewSubscriber(opts...)
	t.Cleanup(func() { s.Close() })
	require.NoError(t, s.Connect(addr))
	return p, s
}

// run runs the subscriber until the test ends.
func run(t *testing.T, s *pubsub.Subscriber) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended and awaited in the cleanup
	t.Cleanup(func() {
		s.Close()
		assert.NoError(t, <-ended)
	})
}

func errorHook() (patterns.Option, <-chan error) {
	errs := make(chan error, 100)
	return patterns.WithOnError(func(_ context.Context, err error) { errs <- err }), errs
}

// subscribe returns what arrives under pattern, as topics and values.
func subscribe[T any](t *testing.T, s *pubsub.Subscriber, pattern string) (*pubsub.Subscription, <-chan string, <-chan T) {
	t.Helper()
	topics, values := make(chan string, 100), make(chan T, 100)
	sub, err := pubsub.Subscribe(s, pattern, func(_ context.Context, topic string, v T) error {
		topics <- topic
		values <- v
		return nil
	})
	require.NoError(t, err)
	return sub, topics, values
}

func TestEventsReachThoseWhoWantThem(t *testing.T) {
	t.Parallel()
	p, s := pair(t)
	_, topics, created := subscribe[Created](t, s, "orders.*.created")
	_, _, cancelled := subscribe[Cancelled](t, s, "orders.eu.cancelled")
	_, ends, _ := subscribe[string](t, s, "end")
	run(t, s)
	ctx := within(t)
	for _, topic := range []string{"orders.eu.created", "orders.eu.cancelled", "end"} {
		require.NoError(t, p.WaitSubscribers(ctx, topic, 1))
	}
	require.NoError(t, p.Publish(ctx, "orders.eu.created", Created{1}))
	require.NoError(t, p.Publish(ctx, "orders.created", Created{2}))
	require.NoError(t, p.Publish(ctx, "orders.eu.created.again", Created{3}))
	require.NoError(t, p.Publish(ctx, "orders.eu.cancelled", Cancelled{"late"}))
	require.NoError(t, p.Publish(ctx, "orders.us.created", &Created{4}))
	require.NoError(t, p.Publish(ctx, "invoices.eu.created", Created{5}))
	require.NoError(t, p.Publish(ctx, "ending", "not this"))
	require.NoError(t, p.Publish(ctx, "end", "this"))
	assert.Equal(t, "end", <-ends)
	assert.Equal(t, "orders.eu.created", <-topics)
	assert.Equal(t, "orders.us.created", <-topics)
	assert.Equal(t, Created{1}, <-created)
	assert.Equal(t, Created{4}, <-created)
	assert.Equal(t, Cancelled{"late"}, <-cancelled)
	assert.Empty(t, created)
	require.NoError(t, s.Shutdown(ctx))
	assert.Equal(t, patterns.Counts{Handled: 4}, s.Counts())
	assert.EqualValues(t, 7, s.Stats().MessagesIn, "what begins otherwise is not sent")
}

func TestSeveralSubscriptionsForOneEvent(t *testing.T) {
	t.Parallel()
	p, s := pair(t)
	_, _, one := subscribe[Created](t, s, "orders.created")
	first, two, _ := subscribe[Created](t, s, "orders.*")
	_, three, _ := subscribe[Created](t, s, ">")
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), ">", 1)) // the last that was subscribed to
	require.NoError(t, p.Publish(within(t), "orders.created", Created{1}))
	assert.Equal(t, Created{1}, <-one)
	assert.Equal(t, "orders.created", <-two)
	assert.Equal(t, "orders.created", <-three)

	require.NoError(t, first.Unsubscribe())
	require.NoError(t, first.Unsubscribe(), "a second time does nothing")
	require.NoError(t, p.Publish(within(t), "orders.created", Created{2}))
	assert.Equal(t, Created{2}, <-one)
	assert.Equal(t, "orders.created", <-three)
	assert.Empty(t, two)
}

func TestEnvelopeOfAnEvent(t *testing.T) {
	t.Parallel()
	p, s := pair(t)
	got := make(chan *codec.Envelope, 1)
	_, err := pubsub.Subscribe(s, "a.b", func(ctx context.Context, _ string, _ Created) error {
		got <- patterns.FromContext(ctx)
		return nil
	})
	require.NoError(t, err)
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "a.b", 1))
	happened := time.Date(2020, 2, 29, 23, 59, 59, 123456789, time.UTC)
	cause := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID()}
	require.NoError(t, p.Publish(patterns.NewContext(within(t), cause), "a.b", Created{}, patterns.WithHeader("k", "v"), patterns.WithTime(happened)))
	e := <-got
	assert.Equal(t, "Created", e.Type)
	assert.Equal(t, "desk", e.Source)
	assert.Equal(t, "v", e.Header("k"))
	assert.Equal(t, happened, e.Time)
	assert.Equal(t, cause.CorrelationID, e.CorrelationID)
	assert.Equal(t, cause.ID, e.CausationID)
}

func TestFailuresAreReportedAndEndNothing(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	p, s := pair(t, hook)
	errFull := errors.New("warehouse full")
	_, err := pubsub.Subscribe(s, "a.>", func(_ context.Context, _ string, c Created) error {
		if c.Number == 2 {
			panic("at the warehouse")
		}
		return errFull
	})
	require.NoError(t, err)
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "a.b", 1))
	require.NoError(t, p.Publish(within(t), "a.b", Created{1}))
	assert.ErrorIs(t, <-errs, errFull)
	require.NoError(t, p.Publish(within(t), "a.b", Created{2}))
	assert.ErrorIs(t, <-errs, patterns.ErrPanic)
	require.NoError(t, p.Publish(within(t), "a.b", Cancelled{}))
	assert.ErrorIs(t, <-errs, patterns.ErrType)
	for _, frames := range [][][]byte{
		{[]byte("a.b")},
		{[]byte("a.b"), nil, nil},
		{[]byte("a.b"), []byte("no envelope")},
		{[]byte("a."), nil},
		{[]byte("a.\xff"), nil},
	} {
		require.NoError(t, p.Pub.Send(within(t), frames...))
		assert.ErrorIs(t, <-errs, patterns.ErrMalformed, "%q", frames)
	}
	require.Eventually(t, func() bool { return s.Counts().InHand == 0 }, time.Minute, time.Millisecond, "the hook is told while the message is in hand")
	assert.Equal(t, patterns.Counts{Failed: 2, Malformed: 6}, s.Counts())
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, s := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	assert.NoError(t, s.Run(ctx))
}

func TestMalformedTopicsAreRefused(t *testing.T) {
	t.Parallel()
	p, s := pair(t)
	assert.ErrorIs(t, p.Publish(t.Context(), "a..b", Created{}), pubsub.ErrTopic)
	assert.ErrorIs(t, p.Publish(t.Context(), "a.*", Created{}), pubsub.ErrTopic)
	assert.ErrorIs(t, p.WaitSubscribers(t.Context(), "", 1), pubsub.ErrTopic)
	_, err := pubsub.Subscribe(s, "a.>.b", func(context.Context, string, Created) error { return nil })
	assert.ErrorIs(t, err, pubsub.ErrTopic)
	assert.ErrorContains(t, p.Publish(t.Context(), "a", func() {}), "msgpack encode")
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	p := pubsub.NewPublisher(patterns.WithAnyType())
	defer p.Close()
	assert.ErrorIs(t, p.Publish(t.Context(), "a", 1), socket.ErrOption)
	s := pubsub.NewSubscriber(patterns.WithConcurrency(-1))
	defer s.Close()
	assert.ErrorIs(t, s.Run(t.Context()), socket.ErrOption)
	_, err := pubsub.Subscribe(s, "a", func(context.Context, string, int) error { return nil })
	assert.ErrorIs(t, err, socket.ErrOption)
}

func TestSubscribeOnAClosedSubscriber(t *testing.T) {
	t.Parallel()
	s := pubsub.NewSubscriber()
	require.NoError(t, s.Close())
	_, err := pubsub.Subscribe(s, "a", func(context.Context, string, int) error { return nil })
	assert.ErrorIs(t, err, socket.ErrClosed)
}
