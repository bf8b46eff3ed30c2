package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// receiver is what the three patterns have in common here.
type receiver interface {
	Counts() patterns.Counts
	Shutdown(ctx context.Context) error
}

// A handler that ends its goroutine, as testing.T's FailNow does, has failed at its message, and at nothing else.
func TestHandlersThatExit(t *testing.T) {
	t.Parallel()
	assured := patterns.WithAtLeastOnce()
	twice := patterns.WithSocketOptions(socket.WithAttempts(2), socket.WithRetry(1, 1))
	around := patterns.WithMiddleware(middleware.Log(slog.New(slog.DiscardHandler)), middleware.Retry(middleware.RetryPolicy{}))
	for name, c := range map[string]struct {
		begin  func(t *testing.T, died func(), opts ...patterns.Option) (receiver, func(order) error)
		opts   []patterns.Option
		failed int // attempts, at three messages
		died   int // letters
		others int // calls of a handler that gets the same and does not exit
	}{
		"worker":               {exitWorker(), nil, 3, 0, 0},
		"worker within":        {exitWorker(), []patterns.Option{around}, 3, 0, 0},
		"worker, acknowledged": {exitWorker(assured, twice), []patterns.Option{assured}, 6, 3, 0},
		"worker, by key":       {exitWorker(assured, twice), []patterns.Option{assured, patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 3, Min: 1, Max: 1})}, 9, 3, 0},
		"worker, by priority":  {exitWorker(assured, twice), []patterns.Option{assured, patterns.WithPriorities()}, 6, 3, 0},
		"worker, leased":       {exitWorker(assured, twice), []patterns.Option{patterns.WithLease(1e9)}, 6, 3, 0},
		"service":              {exitService, nil, 3, 0, 0},
		"service within":       {exitService, []patterns.Option{around}, 3, 0, 0},
		"service that streams": {exitStream, nil, 3, 0, 0},
		"subscriber":           {exitSubscriber, nil, 3, 0, 5},
		"subscriber, by key":   {exitSubscriber, []patterns.Option{patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 3, Min: 1, Max: 1})}, 9, 0, 11},
	} {
		for _, concurrency := range []int{1, 2} {
			t.Run(fmt.Sprint(name, concurrency), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var told, died atomic.Int64
					hook := patterns.WithOnError(func(_ context.Context, err error) {
						assert.ErrorIs(t, err, patterns.ErrPanic)
						e, ok := errors.AsType[*patterns.Error](err)
						assert.True(t, ok && !e.ID.IsZero(), "which message it was")
						told.Add(1)
					})
					r, send := c.begin(t, func() { died.Add(1) }, append(slices.Clone(c.opts), hook, patterns.WithConcurrency(concurrency))...)
					for _, item := range []string{"tea", "exit", "exit", "exit", "milk"} {
						require.NoError(t, send(order{item}))
					}
					time.Sleep(time.Second) // of a bubble: all there is to do is done
					assert.Equal(t, patterns.Counts{Handled: 2 + uint64(c.others), Failed: uint64(c.failed)}, r.Counts())
					assert.EqualValues(t, c.failed, told.Load())
					assert.EqualValues(t, c.died, died.Load())
					require.NoError(t, r.Shutdown(t.Context()))
				})
			})
		}
	}
}

// exit is a handler.
func exit(_ context.Context, o order) error {
	if o.Item == "exit" {
		runtime.Goexit()
	}
	return nil
}

func exitWorker(producing ...patterns.Option) func(t *testing.T, died func(), opts ...patterns.Option) (receiver, func(order) error) {
	return func(t *testing.T, died func(), opts ...patterns.Option) (receiver, func(order) error) {
		assured, producing := len(producing) > 0, slices.Clone(producing)
		if assured {
			producing = append(producing, patterns.WithDeadLetters(func(patterns.DeadLetter) { died() }))
		}
		p, w := pushpull.NewProducer[order](producing...), pushpull.NewWorker[order](opts...)
		joinAt(t, "inproc://"+t.Name(), w, p)
		t.Cleanup(func() { assert.NoError(t, p.Close()) })
		running(t, func(ctx context.Context) error { return w.Run(ctx, exit) }, w.Close)
		return w, func(o order) error {
			err := p.Send(t.Context(), o, patterns.WithKey("k"))
			if assured && err == nil {
				err = p.WaitAcked(t.Context())
			}
			return err
		}
	}
}

func exitService(t *testing.T, _ func(), opts ...patterns.Option) (receiver, func(order) error) {
	client, service := reqrep.NewClient(), reqrep.NewService(opts...)
	joinAt(t, "inproc://"+t.Name(), service, client)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	require.NoError(t, reqrep.Handle(service, "make", func(ctx context.Context, o order) (order, error) { return o, exit(ctx, o) }))
	running(t, service.Run, service.Close)
	require.NoError(t, client.WaitPeers(t.Context(), 1))
	return service, func(o order) error {
		_, err := reqrep.Call[order, order](t.Context(), client, "make", o)
		if e, ok := errors.AsType[*reqrep.Error](err); o.Item == "exit" && assert.True(t, ok, "%v", err) {
			assert.Equal(t, reqrep.CodeInternal, e.Code)
			err = nil
		}
		return err
	}
}

// exitStream ends its goroutine between two items.
func exitStream(t *testing.T, _ func(), opts ...patterns.Option) (receiver, func(order) error) {
	client, service := reqrep.NewClient(), reqrep.NewService(opts...)
	joinAt(t, "inproc://"+t.Name(), service, client)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	require.NoError(t, reqrep.HandleStream(service, "make", func(ctx context.Context, o order) iter.Seq2[order, error] {
		return func(yield func(order, error) bool) { _ = yield(o, nil) && exit(ctx, o) == nil && yield(o, nil) }
	}))
	running(t, service.Run, service.Close)
	require.NoError(t, client.WaitPeers(t.Context(), 1))
	return service, func(o order) error {
		items := 0
		for _, err := range reqrep.Stream[order, order](t.Context(), client, "make", o) {
			if e, ok := errors.AsType[*reqrep.Error](err); ok {
				assert.Equal(t, reqrep.CodeInternal, e.Code)
				assert.Equal(t, "exit", o.Item)
			} else if err != nil {
				return err
			}
			items++
		}
		assert.Equal(t, 2, items, "or the first and an error")
		return nil
	}
}

// exitSubscriber has a second subscription, whose handler gets all the same events.
func exitSubscriber(t *testing.T, _ func(), opts ...patterns.Option) (receiver, func(order) error) {
	publisher, subscriber := pubsub.NewPublisher(), pubsub.NewSubscriber(opts...)
	joinAt(t, "inproc://"+t.Name(), publisher, subscriber)
	t.Cleanup(func() { assert.NoError(t, publisher.Close()) })
	_, err := pubsub.Subscribe(subscriber, "make", func(ctx context.Context, _ string, o order) error { return exit(ctx, o) })
	require.NoError(t, err)
	_, err = pubsub.Subscribe(subscriber, ">", func(context.Context, string, order) error { return nil })
	require.NoError(t, err)
	running(t, subscriber.Run, subscriber.Close)
	require.NoError(t, publisher.WaitSubscribers(t.Context(), "make", 1))
	return subscriber, func(o order) error { return publisher.Publish(t.Context(), "make", o) }
}

// Calls that wait for the handler of one that ends its goroutine are handled, also if they do the same.
func TestCallsBehindOneThatExits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, service := reqrep.NewClient(), reqrep.NewService(silent, patterns.WithConcurrency(1))
		joinAt(t, "inproc://"+t.Name(), service, client)
		t.Cleanup(func() { assert.NoError(t, client.Close()) })
		require.NoError(t, reqrep.Handle(service, "make", func(ctx context.Context, o order) (order, error) {
			time.Sleep(time.Second) // of a bubble: the others wait meanwhile
			return o, exit(ctx, o)
		}))
		running(t, service.Run, service.Close)
		require.NoError(t, client.WaitPeers(t.Context(), 1))
		var calls sync.WaitGroup
		var failed, made atomic.Int64
		for i := range 10 {
			calls.Go(func() { // awaited below
				o := order{"exit"}
				if i == 9 {
					o.Item = "tea"
				}
				if _, err := reqrep.Call[order, order](t.Context(), client, "make", o); err != nil {
					failed.Add(1)
				} else {
					made.Add(1)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		assert.EqualValues(t, 9, failed.Load())
		assert.EqualValues(t, 1, made.Load())
		assert.Equal(t, patterns.Counts{Handled: 1, Failed: 9}, service.Counts())
		require.NoError(t, service.Shutdown(t.Context()))
	})
}
