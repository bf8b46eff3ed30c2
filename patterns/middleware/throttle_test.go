package middleware_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle := middleware.Throttle(10, 3)
		s := &script{}
		handle, other := throttle(s.handle), throttle(s.handle)
		begin := time.Now()
		for range 13 {
			require.NoError(t, handle(t.Context(), delivery()))
		}
		assert.Equal(t, time.Second, time.Since(begin), "three at once, and then one each 100 ms")
		require.NoError(t, other(t.Context(), delivery()))
		assert.Equal(t, 1100*time.Millisecond, time.Since(begin), "one account for both")

		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := handle(ctx, delivery())
		assert.ErrorIs(t, err, middleware.ErrThrottled)
		pause, _ := patterns.Pause(err)
		assert.Equal(t, 100*time.Millisecond, pause)
		assert.Equal(t, 1100*time.Millisecond, time.Since(begin), "it did not wait in vain")

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		err = handle(ctx, delivery())
		assert.ErrorIs(t, err, middleware.ErrThrottled)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 14, s.calls)
	})
	for _, rate := range []float64{0, -1, 1e12} {
		s := &script{}
		require.NoError(t, middleware.Throttle(rate, 0)(s.handle)(t.Context(), delivery()), "%v is no bound", rate)
	}
}

func TestThrottleSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		send := patterns.Around(middleware.ThrottleSends(1, 0))
		begin := time.Now()
		for range 3 {
			o := patterns.NewOutgoing(func(context.Context) error { sent++; return nil })
			require.NoError(t, send(t.Context(), o))
		}
		assert.Equal(t, 3, sent)
		assert.Equal(t, 2*time.Second, time.Since(begin))
	})
}

// Those that wait give their turns back when they leave, and those behind them move up; nobody passes another, and no two share a turn.
func TestThrottleGivesTurnsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan string, 4)
		handle := middleware.Throttle(10, 1)(func(_ context.Context, d *patterns.Delivery) error {
			calls <- d.Name
			return nil
		})
		begin := time.Now()
		require.NoError(t, handle(t.Context(), delivery()))
		call := func(ctx context.Context, name string) {
			d := delivery()
			d.Name = name
			go func() { _ = handle(ctx, d) }()
			synctest.Wait()
		}
		leaving, leave := context.WithCancel(t.Context())
		for range 200 {
			call(leaving, "left")
		}
		call(t.Context(), "a")
		for range 200 {
			call(leaving, "left")
		}
		call(t.Context(), "b")
		time.Sleep(50 * time.Millisecond)
		leave()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.NoError(t, handle(ctx, delivery()), "two are before it")
		assert.Equal(t, 300*time.Millisecond, time.Since(begin))
		for _, name := range []string{"Order", "a", "b", "Order"} {
			assert.Equal(t, name, <-calls)
		}
	})
}
