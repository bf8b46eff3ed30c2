package middleware_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
)

// exiting ends the goroutines of its first attempts.
func exiting(first int) patterns.Handler {
	calls := 0
	return func(context.Context, *patterns.Delivery) error {
		if calls++; calls <= first {
			time.Sleep(time.Second) // of a bubble: time for others to come
			runtime.Goexit()
		}
		return nil
	}
}

// lose has a goroutine of its own call h, which ends it.
func lose(t *testing.T, h patterns.Handler, d *patterns.Delivery) {
	go func() {
		_ = h(context.Background(), d)
		t.Error("it came back")
	}()
	synctest.Wait()
}

// A handler that ends its goroutine has failed, for those that look at how attempts end.
func TestExitIsAFailure(t *testing.T) {
	t.Parallel()
	t.Run("dedup", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, d := middleware.Dedup(10, 0)(exiting(1)), delivery()
			lose(t, h, d)
			assert.NoError(t, h(t.Context(), d), "the duplicate waits for the first, and has its turn")
			assert.False(t, d.Duplicate)
		})
	})
	t.Run("breaker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := middleware.Breaker(middleware.BreakerPolicy{Failures: 1, Pause: time.Minute})(exiting(2))
			for range 2 { // the second is a trial
				lose(t, h, delivery())
				time.Sleep(2 * time.Second)
				assert.ErrorIs(t, h(t.Context(), delivery()), middleware.ErrOpen)
				time.Sleep(time.Minute)
			}
			assert.NoError(t, h(t.Context(), delivery()))
		})
	})
	t.Run("log", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			lose(t, middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))(exiting(1)), delivery())
			time.Sleep(time.Second)
			synctest.Wait()
			assert.Contains(t, out.String(), `level=ERROR msg=handled`)
			assert.Contains(t, out.String(), `error="handler panicked: runtime.Goexit"`)
		})
	})
}
