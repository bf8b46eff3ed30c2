package pushpull_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// arrived waits until the worker's socket has n messages that no handler has.
func arrived(t *testing.T, w *pushpull.Worker[Order], n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		have := 0
		for _, p := range w.Stats().Peers {
			have += p.InboxMessages
		}
		return have >= n
	}, 5*time.Second, time.Millisecond)
}

type key struct{}

func TestRunEndsWithItsContextButFinishesWorkInHand(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	ctx, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	ended := make(chan error, 1)
	begun, finish := make(chan context.Context), make(chan struct{})
	go func() {
		ended <- w.Run(ctx, func(ctx context.Context, _ Order) error {
			begun <- ctx
			<-finish
			return ctx.Err()
		})
	}()
	require.NoError(t, p.Send(within(t), Order{}))
	inner := <-begun
	stop()
	assert.NoError(t, inner.Err(), "the end of intake is not that of work")
	assert.Equal(t, "v", inner.Value(key{}))
	select {
	case <-ended:
		t.Error("Run ended before its handler")
	default:
	}
	close(finish)
	assert.NoError(t, <-ended)
	assert.Equal(t, patterns.Counts{Handled: 1}, w.Counts())

	// What comes later waits for the next Run.
	require.NoError(t, p.Send(within(t), Order{Number: 2}))
	again, stopAgain := context.WithCancel(t.Context())
	assert.NoError(t, w.Run(again, func(_ context.Context, o Order) error {
		assert.Equal(t, 2, o.Number)
		stopAgain()
		return nil
	}))
}

func TestShutdownHandlesAllThatHasArrived(t *testing.T) {
	t.Parallel()
	const n = 500
	p, w := pair(t, nil, []patterns.Option{patterns.WithConcurrency(3)})
	gate := make(chan struct{})
	var handled atomic.Int64
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(context.Background(), func(ctx context.Context, _ Order) error {
			<-gate
			handled.Add(1)
			return ctx.Err()
		})
	}()
	for i := range n {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	arrived(t, w, n-3)
	time.AfterFunc(50*time.Millisecond, func() { close(gate) })
	require.NoError(t, w.Shutdown(within(t)))
	assert.NoError(t, <-ended)
	assert.EqualValues(t, n, handled.Load())
	assert.Equal(t, patterns.Counts{Handled: n}, w.Counts())
	assert.NoError(t, w.Shutdown(within(t)), "a second time does nothing")
	assert.NoError(t, w.Run(t.Context(), nil), "a worker that was shut down has nothing to do")
}

func TestShutdownDeadlineGivesUpAndSaysWhat(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	ended := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		ended <- w.Run(context.Background(), func(ctx context.Context, _ Order) error {
			begun <- struct{}{}
			<-ctx.Done()
			return nil
		})
	}()
	for range 3 {
		require.NoError(t, p.Send(within(t), Order{}))
	}
	<-begun
	arrived(t, w, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := w.Shutdown(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "1 messages in hand, 2 not handled")
	assert.NoError(t, <-ended)
	assert.Equal(t, patterns.Counts{Handled: 1, Unhandled: 2}, w.Counts())
}

func TestCloseFromAHandler(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	for range 3 {
		require.NoError(t, p.Send(within(t), Order{}))
	}
	arrived(t, w, 3)
	assert.NoError(t, w.Run(t.Context(), func(ctx context.Context, _ Order) error {
		assert.NoError(t, w.Close())
		<-ctx.Done()
		return nil
	}))
	assert.Equal(t, patterns.Counts{Handled: 1, Unhandled: 2}, w.Counts())
}
