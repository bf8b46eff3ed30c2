package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

var quickly = spool.Options{SegmentSize: 64 << 10, Policy: spool.OS}

// sealed is the envelope of an item.
func sealed(t *testing.T, item string) []byte {
	body, err := codec.Msgpack.Append(nil, item)
	require.NoError(t, err)
	frame, err := (&codec.Envelope{ID: codec.NewID(), Codec: codec.Msgpack.Name(), Body: body}).Append(nil)
	require.NoError(t, err)
	return frame
}

// relayed has a relay bring rows to sink until it is done with all, and returns what it parked.
func relayed(t *testing.T, sink Sink, s *rows) (parked []Event) {
	r := newRelay(s, "outbox", nil, sink, []RelayOption{WithHook(func(_ context.Context, e Event) {
		if e.Kind == Parked {
			parked = append(parked, e)
		}
	})})
	stop := start(t, r)
	assert.Eventually(t, func() bool { return s.count(0) == 0 }, time.Minute, time.Millisecond)
	stop()
	return parked
}

// What goes to workers through a spool is published when it is there, with nobody to take it yet.
func TestToPush(t *testing.T) {
	t.Parallel()
	producer := pushpull.NewProducer[string](patterns.WithSpool(t.TempDir(), quickly))
	defer producer.Close()
	s := newRows()
	s.add(Message{Frame: sealed(t, "tea")})
	assert.Empty(t, relayed(t, ToPush(producer.Push), s))
	assert.EqualValues(t, 1, producer.Stats().Spool.Messages)
}

// What goes to a publisher's log comes to its subscribers as what is published there does, whatever the publisher makes of topics and numbers. What it would not publish is parked.
func TestToPublisher(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ publish, subscribe []patterns.Option }{
		"plain":    {},
		"exact":    {[]patterns.Option{pubsub.WithExactTopics()}, []patterns.Option{pubsub.WithExactTopics()}},
		"numbered": {[]patterns.Option{pubsub.WithSequence(1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			publisher := pubsub.NewPublisher(append(c.publish, pubsub.WithLog(t.TempDir(), quickly))...)
			defer publisher.Close()
			addr, err := publisher.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			wire := socket.NewSub()
			defer wire.Close()
			require.NoError(t, wire.Subscribe(""))
			require.NoError(t, wire.Connect(addr))
			require.NoError(t, publisher.Pub.WaitSubscribers(ctx, "", 1))

			require.NoError(t, publisher.Publish(ctx, "orders.new", "coffee"))
			s := newRows()
			for _, topic := range []string{"", "order s", "orders.*", "orders.new"} {
				s.add(Message{Topic: topic, Frame: sealed(t, "tea")})
			}
			s.add(Message{Topic: "orders.new", Frame: []byte("no envelope")})
			parked := relayed(t, ToPublisher(publisher), s)
			require.Len(t, parked, 4)
			for i, want := range []error{pubsub.ErrTopic, pubsub.ErrTopic, pubsub.ErrTopic, patterns.ErrMalformed} {
				assert.ErrorIs(t, parked[i].Err, want)
			}
			published, err := wire.Recv(ctx)
			require.NoError(t, err)
			sent, err := wire.Recv(ctx)
			require.NoError(t, err)
			assert.Equal(t, published.Frames[0], sent.Frames[0])
			assert.Len(t, sent.Frames, len(published.Frames))
			assert.Equal(t, []string{"coffee", "tea"}, subscribed(t, addr, 2, c.subscribe...))
		})
	}
}

// subscribed returns the first n events that a new durable name gets.
func subscribed(t *testing.T, addr string, n int, options ...patterns.Option) (items []string) {
	subscriber := pubsub.NewSubscriber(append(options, pubsub.WithDurable("d", spool.Beginning()))...)
	got := make(chan string, n)
	_, err := pubsub.Subscribe(subscriber, "orders.new", func(_ context.Context, _ string, item string) error {
		got <- item
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, subscriber.Connect(addr))
	ended := make(chan error, 1)
	go func() { ended <- subscriber.Run(t.Context()) }() // ended by Shutdown, awaited below
	for limit := time.After(time.Minute); len(items) < n; {
		select {
		case item := <-got:
			items = append(items, item)
		case <-limit:
			assert.Fail(t, "not all is delivered")
			n = 0
		}
	}
	require.NoError(t, subscriber.Shutdown(t.Context()))
	require.NoError(t, <-ended)
	return items
}

// A publisher that cannot tell what is safe ends the relay, and one with wrong options has nothing parked.
func TestToPublisher_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	lossy := pubsub.NewPublisher()
	defer lossy.Close()
	require.ErrorIs(t, newRelay(newRows("a"), "outbox", nil, ToPublisher(lossy), []RelayOption{quiet}).Run(t.Context()), socket.ErrState)

	wrong := pubsub.NewPublisher(pubsub.WithLog(t.TempDir(), quickly), pubsub.WithSequence(-1))
	defer wrong.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, told := newRows("a"), error(nil)
	r := newRelay(s, "outbox", nil, ToPublisher(wrong), []RelayOption{WithHook(func(_ context.Context, e Event) {
		if e.Kind == Outage {
			told = e.Err
			cancel()
		}
	})})
	require.NoError(t, r.Run(ctx))
	require.ErrorIs(t, told, socket.ErrOption)
	assert.Equal(t, 1, s.count(0))
}
