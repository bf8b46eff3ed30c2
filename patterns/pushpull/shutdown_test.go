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
	"github.com/meshmq/meshmq/socket"
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
	require.Eventually(t, func() bool { return w.Counts().InHand == 3 }, time.Minute, time.Millisecond)
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

// A worker leaves while work flows: its producer is told first, and nothing is lost.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := pushpull.NewProducer[Order]()
	defer p.Close()
	var handled atomic.Int64
	workers, addrs, ended := make([]*pushpull.Worker[Order], 2), make([]string, 2), make(chan error, 2)
	for i := range workers {
		w := pushpull.NewWorker[Order]()
		addr, err := w.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, p.Connect(addr))
		workers[i], addrs[i] = w, addr
		go func() { // ended by Shutdown
			ended <- w.Run(context.Background(), func(context.Context, Order) error { handled.Add(1); return nil })
		}()
	}
	sent, flow, stop := 0, make(chan struct{}), make(chan struct{})
	go func() { // ended by stop
		defer close(flow)
		for {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, p.Send(within(t), Order{}))
				sent++
			}
		}
	}()
	require.Eventually(t, func() bool { return workers[0].Counts().Handled > 1000 }, time.Minute, time.Millisecond)
	require.NoError(t, p.Disconnect(addrs[0]))
	require.NoError(t, workers[0].Drain(within(t)))
	require.NoError(t, workers[0].Shutdown(within(t)))
	gone := handled.Load()
	require.Eventually(t, func() bool { return handled.Load() > gone+1000 }, time.Minute, time.Millisecond)
	close(stop)
	<-flow
	require.NoError(t, p.Shutdown(within(t)))
	require.NoError(t, workers[1].Drain(within(t)))
	require.NoError(t, workers[1].Shutdown(within(t)))
	assert.NoError(t, <-ended)
	assert.NoError(t, <-ended)
	assert.EqualValues(t, sent, handled.Load())
	assert.Empty(t, p.Stats().Dropped)
	assert.ErrorIs(t, p.Send(t.Context(), Order{}), socket.ErrClosed)
}

func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	require.NoError(t, p.WaitPeers(within(t), 1))
	require.NoError(t, w.WaitPeers(within(t), 1))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := w.Drain(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "1 producers are connected")
	assert.Empty(t, w.Stats().Endpoints)

	time.AfterFunc(20*time.Millisecond, func() { w.Close() })
	assert.NoError(t, w.Drain(within(t)), "a closed worker has no producers")
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
