package pushpull_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// Messages of a key are handled one after the other, in order, also when one fails; other keys go on meanwhile. What fails too often is
// a dead letter, and what is behind it goes on.
func TestKeysAreHandledInOrder(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"acknowledged": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const keys, each = 5, 40
			died, dead := graves()
			producer, worker := []patterns.Option{assured, died}, []patterns.Option{assured}
			if plain {
				producer, worker = nil, nil
			}
			p, w := pair(t, producer, append(worker, silent, patterns.WithConcurrency(8),
				patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 3, Min: 1, Max: 1000})))
			var mu sync.Mutex
			busy, seen, attempts := map[string]bool{}, map[string][]int{}, map[string]int{}
			run(t, w, func(ctx context.Context, o Order) error {
				mu.Lock()
				assert.False(t, busy[o.Item], "two of a key at the same time")
				busy[o.Item] = true
				attempts[fmt.Sprint(o)]++
				n := attempts[fmt.Sprint(o)]
				mu.Unlock()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					busy[o.Item] = false
				}()
				switch {
				case o.Number%10 == 7 && n < 3:
					return errors.New("not yet")
				case o.Number == 20 && o.Item == "0":
					panic("never")
				}
				mu.Lock()
				defer mu.Unlock()
				seen[o.Item] = append(seen[o.Item], o.Number)
				return nil
			})
			for i := range each {
				for k := range keys {
					require.NoError(t, p.Send(within(t), Order{Number: i, Item: fmt.Sprint(k)}, patterns.WithKey(fmt.Sprint(k))))
				}
			}
			if !plain {
				require.NoError(t, p.WaitAcked(within(t)))
				assert.Equal(t, "3 attempts failed, the last one: handler panicked: never", (<-dead).Reason)
			}
			c := settled(t, w, keys*each-1+keys*4*2+3)
			assert.Equal(t, patterns.Counts{Handled: keys*each - 1, Failed: keys*4*2 + 3}, c)
			mu.Lock()
			defer mu.Unlock()
			for k, numbers := range seen {
				want := 0
				for _, n := range numbers {
					if k == "0" && want == 20 {
						want++
					}
					require.Equal(t, want, n, "key %s", k)
					want++
				}
			}
		})
	}
}

// Of what is here the higher priority is handled first, and the lower has a turn now and then.
func TestPriorities(t *testing.T) {
	t.Parallel()
	const each = 50
	p, w := pair(t, []patterns.Option{assured}, []patterns.Option{assured, patterns.WithPriorities()})
	var got []string
	gate, begun := make(chan struct{}), make(chan struct{}, 3*each+1)
	run(t, w, func(_ context.Context, o Order) error {
		begun <- struct{}{}
		<-gate
		got = append(got, o.Item)
		return nil
	})
	require.NoError(t, p.Send(within(t), Order{Item: "first"}))
	<-begun
	for range each {
		for _, priority := range []patterns.Priority{patterns.Low, patterns.Normal, patterns.High} {
			require.NoError(t, p.Send(within(t), Order{Item: priority.String()}, patterns.WithPriority(priority)))
		}
	}
	require.Eventually(t, func() bool { return w.Waiting() == 3*each }, timeout, tick)
	close(gate)
	require.NoError(t, p.WaitAcked(within(t)))
	require.NoError(t, w.Shutdown(within(t)))
	require.Len(t, got, 3*each+1)
	count := map[string]int{}
	for _, item := range got[1 : 1+each] {
		count[item]++
	}
	assert.GreaterOrEqual(t, count["high"], each*3/4, "of the first %d", each)
	assert.Positive(t, count["normal"])
	assert.Positive(t, count["low"])
}

// A worker that is closed gives up what it had not begun, and says so.
func TestOrderGivesUpWhatIsLeft(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, []patterns.Option{patterns.WithKeyOrder(patterns.KeyOrder{}), patterns.WithPrefetch(2)})
	begun := make(chan struct{})
	run(t, w, func(ctx context.Context, _ Order) error {
		close(begun)
		<-ctx.Done()
		return nil
	})
	for range 10 {
		require.NoError(t, p.Send(within(t), Order{}, patterns.WithKey("k")))
	}
	<-begun
	require.Eventually(t, func() bool { return w.Waiting() == 2 }, timeout, tick)
	require.NoError(t, w.Close())
	require.Eventually(t, func() bool { return w.Counts().InHand == 0 }, timeout, tick)
	assert.EqualValues(t, 1, w.Counts().Handled)
	assert.GreaterOrEqual(t, w.Counts().Unhandled, uint64(2))
}

func TestWorkOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]patterns.Option{
		"WithPrefetch(0)":       patterns.WithPrefetch(0),
		"WithKeyOrder":          patterns.WithKeyOrder(patterns.KeyOrder{Attempts: -1}),
		"WithDeadLetters(nil)":  patterns.WithDeadLetters(nil),
		"no use for WithSpool":  patterns.WithSpool(t.TempDir(), small),
		"no use for WithSource": patterns.WithSource("x"),
	} {
		w := pushpull.NewWorker[Order](opt)
		defer w.Close()
		assert.ErrorContains(t, w.Run(t.Context(), nil), want)
	}
	died, _ := graves()
	for want, opt := range map[string]patterns.Option{
		"WithDeadLetter without WithAck or WithSpool": died,
		"WithSpool": patterns.WithSpool("\x00", small),
	} {
		p := pushpull.NewProducer[Order](opt)
		defer p.Close()
		assert.ErrorContains(t, p.Send(t.Context(), Order{}), want)
		_, err := p.Replay(t.Context(), 1, nil)
		assert.Error(t, err)
	}
}

// Shutdown of a worker whose desk is full of what waits for its time, or behind it, leaves all of it to others at once.
func TestShutdownLeavesWhatWaitsToOthers(t *testing.T) {
	t.Parallel()
	for i := range 20 { // what was missing to wake the one who waits for room showed every other time
		synctest.Test(t, func(t *testing.T) {
			later := patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 10, Min: time.Hour, Max: time.Hour})
			p, w := bubbleAt(t, fmt.Sprint(i), []patterns.Option{assured}, []patterns.Option{assured, silent, patterns.WithPrefetch(2), later})
			run(t, w, func(context.Context, Order) error { return errors.New("not yet") })
			for n := range 2 {
				require.NoError(t, p.Send(t.Context(), Order{Number: n}, patterns.WithKey("k")))
			}
			synctest.Wait()
			require.Equal(t, 2, w.Waiting())
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.NoError(t, w.Shutdown(ctx))
			assert.Less(t, time.Since(begin), time.Minute)
			assert.EqualValues(t, 2, w.Counts().Unhandled)
			assert.EqualValues(t, 0, w.Waiting())
		})
	}
}
