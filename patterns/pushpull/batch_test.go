package pushpull_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// filled returns a worker for which n orders have arrived, numbered from 0.
func filled(t *testing.T, n int) *pushpull.Worker[Order] {
	t.Helper()
	p, w := pair(t, nil, nil)
	for i := range n {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	arrived(t, w, n)
	return w
}

// What came in one read with a message that a handler is stuck with goes to whoever else handles messages.
func TestAnotherRunTakesWhatOneIsStuckBefore(t *testing.T) {
	t.Parallel()
	const n = 20
	w := filled(t, n)
	stuck, free := make(chan struct{}), make(chan struct{})
	run(t, w, func(_ context.Context, o Order) error {
		close(stuck)
		<-free
		return nil
	})
	<-stuck
	ctx, stop := context.WithCancel(within(t))
	next := 1
	assert.NoError(t, w.Run(ctx, func(_ context.Context, o Order) error {
		assert.Equal(t, next, o.Number)
		if next++; next == n {
			stop()
		}
		return nil
	}))
	assert.Equal(t, patterns.Counts{Handled: n - 1, InHand: 1}, w.Counts())
	close(free)
	settled(t, w, n)
}

// Whoever stops in the middle of what came in one read leaves the rest where others find it, in order.
func TestWhatIsLeftOfABatch(t *testing.T) {
	t.Parallel()
	const n = 20
	w := filled(t, n)
	next := 0
	for next < 5 {
		ctx, stop := context.WithCancel(within(t))
		require.NoError(t, w.Run(ctx, func(_ context.Context, o Order) error {
			assert.Equal(t, next, o.Number)
			next++
			stop()
			return nil
		}))
		assert.Equal(t, patterns.Counts{Handled: uint64(next)}, w.Counts())
		assert.EqualValues(t, next, w.Stats().MessagesIn)
	}
	_, err := w.Recv(within(t)) // the socket's, past the worker
	require.NoError(t, err)
	next++

	const last = 10
	numbers := make(chan int, n)
	run(t, w, func(_ context.Context, o Order) error {
		if o.Number == last {
			w.Pause()
		}
		numbers <- o.Number
		return nil
	})
	settled(t, w, last) // one went past the worker
	arrived(t, w, n-1-last)
	assert.Len(t, numbers, last+1-next)
	w.Resume()
	for ; next < n; next++ {
		assert.Equal(t, next, <-numbers)
	}
}

// While messages of one read are handled the counts say of each how it went, as soon as the next one is in hand, and never less than before.
func TestCountsWithinABatch(t *testing.T) {
	t.Parallel()
	const n = 40
	hook, _ := errorHook()
	p, w := pair(t, nil, []patterns.Option{hook})
	for i := range n {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	arrived(t, w, n)
	var want patterns.Counts
	looking, looked := make(chan struct{}), make(chan struct{})
	go func() { // ended below
		defer close(looked)
		for before := w.Counts(); ; {
			c := w.Counts()
			assert.GreaterOrEqual(t, c.Handled, before.Handled)
			before = c
			select {
			case <-looking:
				return
			default:
			}
		}
	}()
	done := make(chan struct{})
	run(t, w, func(_ context.Context, o Order) error {
		want.InHand = 1
		assert.Equal(t, want, w.Counts())
		if o.Number == n-1 {
			close(done)
		}
		if o.Number%3 == 1 {
			want.Failed++
			return errors.New("one of three")
		}
		want.Handled++
		return nil
	})
	<-done
	got := settled(t, w, n)
	close(looking)
	<-looked
	want.InHand = 0
	assert.Equal(t, want, got)
}
