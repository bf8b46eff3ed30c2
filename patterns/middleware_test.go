package patterns_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

var errBroken = errors.New("broken")

// way starts a receiver in one of the three patterns and returns what sends to it. A caller checks the answer it gets.
type way func(t *testing.T, around, ids patterns.Option, handle func(ctx context.Context, o order) error) func(order) error

func throughWorker(t *testing.T, around, ids patterns.Option, handle func(ctx context.Context, o order) error) func(order) error {
	producer, worker := pushpull.NewProducer[order](ids), pushpull.NewWorker[order](around, silent)
	joinAt(t, "inproc://"+t.Name(), worker, producer)
	t.Cleanup(func() { assert.NoError(t, producer.Close()) })
	running(t, func(ctx context.Context) error { return worker.Run(ctx, handle) }, worker.Close)
	return func(o order) error { return producer.Send(t.Context(), o) }
}

func throughService(t *testing.T, around, ids patterns.Option, handle func(ctx context.Context, o order) error) func(order) error {
	client, service := reqrep.NewClient(ids), reqrep.NewService(around, silent)
	joinAt(t, "inproc://"+t.Name(), service, client)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	require.NoError(t, reqrep.Handle(service, "make", func(ctx context.Context, o order) (order, error) { return o, handle(ctx, o) }))
	running(t, service.Run, service.Close)
	require.NoError(t, client.WaitPeers(t.Context(), 1))
	return func(o order) error {
		made, err := reqrep.Call[order, order](t.Context(), client, "make", o)
		if err == nil {
			assert.Equal(t, o, made)
		}
		return nil // its receiver tells how it ended
	}
}

func throughStream(t *testing.T, around, ids patterns.Option, handle func(ctx context.Context, o order) error) func(order) error {
	client, service := reqrep.NewClient(ids), reqrep.NewService(around, silent)
	joinAt(t, "inproc://"+t.Name(), service, client)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	require.NoError(t, reqrep.HandleStream(service, "make", func(ctx context.Context, o order) iter.Seq2[order, error] {
		return func(yield func(order, error) bool) { yield(o, handle(ctx, o)) }
	}))
	running(t, service.Run, service.Close)
	require.NoError(t, client.WaitPeers(t.Context(), 1))
	return func(o order) error {
		n := 0
		for made, err := range reqrep.Stream[order, order](t.Context(), client, "make", o) {
			if n++; err == nil {
				assert.Equal(t, o, made)
			}
		}
		assert.Equal(t, 1, n, "the item, or an error")
		return nil // its receiver tells how it ended
	}
}

func throughSubscriber(t *testing.T, around, ids patterns.Option, handle func(ctx context.Context, o order) error) func(order) error {
	publisher, subscriber := pubsub.NewPublisher(ids), pubsub.NewSubscriber(around, silent)
	joinAt(t, "inproc://"+t.Name(), publisher, subscriber)
	t.Cleanup(func() { assert.NoError(t, publisher.Close()) })
	_, err := pubsub.Subscribe(subscriber, "make", func(ctx context.Context, _ string, o order) error { return handle(ctx, o) })
	require.NoError(t, err)
	running(t, subscriber.Run, subscriber.Close)
	require.NoError(t, publisher.WaitSubscribers(t.Context(), "make", 1))
	return func(o order) error { return publisher.Publish(t.Context(), "make", o) }
}

// handle ends as the item says, at its nth call.
func (o order) handle(ctx context.Context, n int) error {
	switch {
	case o.Item == "bomb":
		panic("dropped it")
	case o.Item == "late":
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Hour):
			return nil
		}
	case o.Item == "broken", o.Item == "broken at first" && n == 1:
		return errBroken
	}
	return nil
}

func notEmpty(_ context.Context, o *order) error {
	if o.Item == "" {
		return errors.New("no item")
	}
	return nil
}

// Each middleware does in all three patterns, and for streams, what it is for, on links where nothing is delivered again; Log has a line for each message.
func TestMiddlewareOfAllPatterns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		around func() patterns.Middleware
		items  []string // sent one after the other; two that are alike have the same id
		ends   []error  // of the outermost handler
		calls  int      // of the innermost
		takes  time.Duration
	}{
		"timeout": {func() patterns.Middleware { return middleware.Timeout(time.Minute) },
			[]string{"late", "tea"}, []error{context.DeadlineExceeded, nil}, 2, time.Minute},
		"retry": {func() patterns.Middleware { return middleware.Retry(middleware.RetryPolicy{First: 1}) },
			[]string{"broken at first"}, []error{nil}, 2, 0},
		"retry of panics": {func() patterns.Middleware { return middleware.Retry(middleware.RetryPolicy{First: 1}) },
			[]string{"bomb", "tea"}, []error{patterns.ErrPanic, nil}, 4, 0},
		"throttle": {func() patterns.Middleware { return middleware.Throttle(1./60, 1) },
			[]string{"tea", "tea", "tea"}, []error{nil, nil, nil}, 3, 2 * time.Minute},
		"dedup": {func() patterns.Middleware { return middleware.Dedup(10, 0) },
			[]string{"tea", "tea", "milk"}, []error{nil, nil, nil}, 2, 0},
		"breaker": {func() patterns.Middleware { return middleware.Breaker(middleware.BreakerPolicy{Failures: 2}) },
			[]string{"broken", "broken", "tea"}, []error{errBroken, errBroken, middleware.ErrOpen}, 2, 0},
		"validate": {func() patterns.Middleware { return middleware.ValidateFunc(notEmpty) },
			[]string{"", "tea"}, []error{patterns.ErrInvalid, nil}, 1, 0},
	} {
		for path, through := range map[string]way{"work": throughWorker, "call": throughService, "call stream": throughStream, "event": throughSubscriber} {
			kind, _, _ := strings.Cut(path, " ")
			t.Run(name+"/"+path, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var lines bytes.Buffer
					logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
					ended, id, calls := make(chan error, 1), codec.ID{}, 0
					send := through(t, patterns.WithMiddleware(telling(ended), middleware.Log(logger), c.around()), patterns.WithSendMiddleware(naming(&id)),
						func(ctx context.Context, o order) error {
							calls++
							return o.handle(ctx, calls)
						})
					begin := time.Now()
					for i, item := range c.items {
						copy(id[:], item+", an item")
						require.NoError(t, send(order{item}))
						assert.ErrorIs(t, <-ended, c.ends[i])
					}
					assert.Equal(t, c.calls, calls)
					assert.Equal(t, c.takes, time.Since(begin).Truncate(time.Minute), "by the clock of a bubble")
					assert.Equal(t, len(c.items), strings.Count(lines.String(), "msg=handled kind="+kind))
				})
			})
		}
	}
}

// telling hands on how each message ended.
func telling(ended chan<- error) patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			err := next(ctx, d)
			ended <- err
			return err
		}
	}
}

// naming sends each message under the id that is there at that time.
func naming(id *codec.ID) patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			o.Envelope.ID = *id
			return next(ctx, o)
		}
	}
}
