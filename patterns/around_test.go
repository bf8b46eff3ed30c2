package patterns_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// Options that make no sense where they are given say so at the first use.
func TestOptionsAroundMessages(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	sends, handles := patterns.WithSendMiddleware(middleware.ValidateSends()), patterns.WithMiddleware(middleware.Validate())
	produce := func(o patterns.Option) error {
		p := pushpull.NewProducer[order](o)
		defer p.Close()
		return p.Send(ctx, order{})
	}
	work := func(o patterns.Option) error {
		w := pushpull.NewWorker[order](o)
		defer w.Close()
		return w.Run(ctx, nil)
	}
	publish := func(o patterns.Option) error {
		p := pubsub.NewPublisher(o)
		defer p.Close()
		return p.Publish(ctx, "orders", order{})
	}
	subscribe := func(o patterns.Option) error {
		s := pubsub.NewSubscriber(o)
		defer s.Close()
		return s.Run(ctx)
	}
	call := func(o patterns.Option) error {
		c := reqrep.NewClient(o)
		defer c.Close()
		_, err := reqrep.Call[order, order](ctx, c, "make", order{})
		return err
	}
	serve := func(o patterns.Option) error {
		s := reqrep.NewService(o)
		defer s.Close()
		return s.Run(ctx)
	}
	for _, c := range []struct {
		use    func(patterns.Option) error
		option patterns.Option
		want   string
	}{
		{produce, handles, "NewProducer has no use for WithMiddleware"},
		{publish, handles, "NewPublisher has no use for WithMiddleware"},
		{call, handles, "NewClient has no use for WithMiddleware"},
		{work, sends, "NewWorker has no use for WithSendMiddleware"},
		{subscribe, sends, "NewSubscriber has no use for WithSendMiddleware"},
		{serve, sends, "NewService has no use for WithSendMiddleware"},
		{produce, patterns.WithSendMiddleware(nil), "WithSendMiddleware: number 1 is nil, want a function"},
		{work, patterns.WithMiddleware(middleware.Validate(), nil), "WithMiddleware: number 2 is nil, want a function"},
		{serve, patterns.WithSchemas(nil), "WithSchemas(nil): want a registry"},
	} {
		err := c.use(c.option)
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, c.want)
	}
}

// What refuses to send keeps the message from leaving, in all three patterns.
func TestSendMiddlewareRefuses(t *testing.T) {
	t.Parallel()
	refuse := patterns.WithSendMiddleware(func(patterns.Sender) patterns.Sender {
		return func(context.Context, *patterns.Outgoing) error { return patterns.ErrInvalid }
	})
	producer, publisher, client := pushpull.NewProducer[order](refuse), pubsub.NewPublisher(refuse), reqrep.NewClient(refuse)
	defer client.Close()
	defer publisher.Close()
	defer producer.Close()
	assert.ErrorIs(t, producer.Send(t.Context(), order{}), patterns.ErrInvalid)
	assert.ErrorIs(t, publisher.Publish(t.Context(), "orders", order{}), patterns.ErrInvalid)
	_, err := reqrep.Call[order, order](t.Context(), client, "make", order{})
	assert.ErrorIs(t, err, patterns.ErrInvalid)
}

// What does not send and does not say so has nothing leave, in all three patterns: it may mean to. But a call needs an answer.
func TestSendMiddlewareKeepsMessagesBack(t *testing.T) {
	t.Parallel()
	keep := patterns.WithSendMiddleware(func(patterns.Sender) patterns.Sender {
		return func(context.Context, *patterns.Outgoing) error { return nil }
	})
	producer, publisher, client := pushpull.NewProducer[order](keep), pubsub.NewPublisher(keep), reqrep.NewClient(keep)
	defer client.Close()
	defer publisher.Close()
	defer producer.Close()
	assert.NoError(t, producer.Send(t.Context(), order{}))
	assert.NoError(t, publisher.Publish(t.Context(), "orders", order{}))
	_, err := reqrep.Call[order, order](t.Context(), client, "make", order{})
	assert.EqualError(t, err, "call make: a send middleware returned no error, but there is no answer")
}
