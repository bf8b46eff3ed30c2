package pushpull_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// The first middleware is outermost, each sees the delivery, and what one returns in place of the handler counts.
func TestMiddlewareGoesAroundTheHandler(t *testing.T) {
	t.Parallel()
	said := make(chan string, 10)
	errNotOnMondays := errors.New("not on Mondays")
	saying := func(name string) patterns.Middleware {
		return func(next patterns.Handler) patterns.Handler {
			return func(ctx context.Context, d *patterns.Delivery) error {
				assert.Equal(t, patterns.Work, d.Kind)
				assert.Equal(t, "Order", d.Name)
				assert.Equal(t, 1, d.Attempt)
				assert.NotNil(t, d.Peer)
				assert.Same(t, d.Envelope, patterns.FromContext(ctx))
				said <- name
				if d.Value.(*Order).Number == 0 {
					return errNotOnMondays
				}
				return next(ctx, d)
			}
		}
	}
	hook, errs := errorHook()
	p, w := pair(t, nil, []patterns.Option{patterns.WithMiddleware(saying("a"), saying("b")), patterns.WithMiddleware(saying("c")), hook})
	run(t, w, func(context.Context, Order) error { said <- "handler"; return nil })
	require.NoError(t, p.Send(within(t), Order{Number: 1}))
	for _, want := range []string{"a", "b", "c", "handler"} {
		assert.Equal(t, want, <-said)
	}
	require.NoError(t, p.Send(within(t), Order{}))
	assert.ErrorIs(t, <-errs, errNotOnMondays)
	assert.Equal(t, patterns.Counts{Handled: 1, Failed: 1}, settled(t, w, 2))

	bad := pushpull.NewProducer[Order](patterns.WithMiddleware(saying("x")))
	defer bad.Close()
	assert.ErrorIs(t, bad.Send(t.Context(), Order{}), socket.ErrOption)
}

// Row 38: what the handler needs is away for ten minutes. A breaker spares it but for a trial each minute; the messages stay in the spool meanwhile, and each is
// handled once when it is back.
func TestFault38_NothingIsLostWhileOpen(t *testing.T) {
	t.Parallel()
	const many, failures, outage = 50, 3, 10 * time.Minute
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var states []string
		tried, handled, back := 0, map[int]int{}, time.Now().Add(outage)
		breaker := middleware.Breaker(middleware.BreakerPolicy{Failures: failures, Pause: time.Minute, OnChange: func(_, to string) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, to)
		}})
		died, dead := graves()
		p, w := bubble(t,
			[]patterns.Option{patterns.WithSpool(dir, small), died, patterns.WithSocketOptions(socket.WithAttempts(0), socket.WithRetry(time.Second, time.Second))},
			[]patterns.Option{assured, silent, patterns.WithConcurrency(4), patterns.WithMiddleware(breaker)})
		run(t, w, func(_ context.Context, o Order) error {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(back) {
				tried++
				return errors.New("the database is away")
			}
			handled[o.Number]++
			return nil
		})
		for i := range many {
			require.NoError(t, p.Send(t.Context(), Order{Number: i}))
		}
		<-time.After(outage - time.Second)
		mu.Lock()
		assert.Equal(t, many, int(p.Stats().Spool.Messages), "they are kept")
		trials := 0
		for i, to := range states {
			assert.Equal(t, []string{"open", "half-open"}[i%2], to)
			trials += i % 2
		}
		assert.LessOrEqual(t, tried, failures+3+trials, "those in a row, what was under way then, and trials")
		assert.InDelta(t, outage/time.Minute, trials, 3)
		mu.Unlock()
		require.NoError(t, p.WaitAcked(t.Context()))
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, "closed", states[len(states)-1])
		assert.Len(t, handled, many)
		for i, n := range handled {
			assert.Equal(t, 1, n, "message %d", i)
		}
		assert.Empty(t, dead)
	})
}
