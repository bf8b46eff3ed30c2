package middleware_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
)

func again(d *patterns.Delivery) *patterns.Delivery {
	return &patterns.Delivery{Kind: d.Kind, Envelope: d.Envelope, Attempt: d.Attempt}
}

func TestDedup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		handle := middleware.Dedup(2, time.Minute)(func(_ context.Context, d *patterns.Delivery) error {
			calls++
			d.Reply = calls
			if calls == 1 {
				panic("at sea")
			}
			return nil
		})
		a, b, c := delivery(), delivery(), delivery()
		require.ErrorIs(t, handle(t.Context(), a), patterns.ErrPanic)
		require.NoError(t, handle(t.Context(), again(a)), "what failed is not known")
		twice := again(a)
		require.NoError(t, handle(t.Context(), twice))
		assert.True(t, twice.Duplicate)
		assert.Equal(t, 2, twice.Reply, "the answer of the first time")
		assert.Equal(t, 2, calls)

		time.Sleep(time.Minute)
		require.NoError(t, handle(t.Context(), again(a)))
		assert.Equal(t, 3, calls, "too long ago")
		require.NoError(t, handle(t.Context(), b))
		require.NoError(t, handle(t.Context(), c)) // a makes room
		require.NoError(t, handle(t.Context(), again(b)))
		assert.Equal(t, 5, calls)
		require.NoError(t, handle(t.Context(), again(a)))
		assert.Equal(t, 6, calls)

		for range 2 {
			nameless := delivery()
			nameless.Envelope.ID = codec.ID{}
			require.NoError(t, handle(t.Context(), nameless))
			assert.False(t, nameless.Duplicate)
		}
		assert.Equal(t, 8, calls)
	})
}

func TestDedupWaitsForTheOneInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outcome, calls := make(chan error), 0
		handle := middleware.Dedup(10, 0)(func(context.Context, *patterns.Delivery) error {
			calls++ // one at a time
			return <-outcome
		})
		d := delivery()
		var all sync.WaitGroup
		var mu sync.Mutex
		ends := map[error]int{}
		for range 5 {
			all.Go(func() {
				err := handle(context.Background(), again(d))
				mu.Lock()
				ends[err]++
				mu.Unlock()
			})
		}
		synctest.Wait()
		assert.Equal(t, 1, calls)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, handle(ctx, again(d)), context.DeadlineExceeded)
		outcome <- errBroken
		synctest.Wait()
		assert.Equal(t, 2, calls, "the next one tries")
		outcome <- nil
		all.Wait()
		assert.Equal(t, map[error]int{errBroken: 1, nil: 4}, ends)
		assert.Equal(t, 2, calls)
	})
}

// BenchmarkChain fails if middleware that has nothing to remember allocates, but for the one function that gobreaker is handed.
func BenchmarkChain(b *testing.B) {
	handle := func(context.Context, *patterns.Delivery) error { return nil }
	for name, m := range map[string]patterns.Middleware{
		"breaker":                    middleware.Breaker(middleware.BreakerPolicy{}),
		"log at a level that is off": middleware.Log(nil),
		"retry":                      middleware.Retry(middleware.RetryPolicy{}),
		"throttle":                   middleware.Throttle(1e8, 1000),
		"validate":                   middleware.Validate(),
	} {
		b.Run(name, func(b *testing.B) {
			h, d := m(handle), delivery()
			d.Value = &order{"tea"}
			one := func() {
				if err := h(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
			want := 0.0
			if name == "breaker" {
				want = 1
			}
			if n := testing.AllocsPerRun(1000, one); n > want {
				b.Fatalf("%v allocations per message, want at most %v", n, want)
			}
		})
	}
}
