package pushpull_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket/spool"
)

// stock is written in another order each time.
type stock struct{ Pieces map[string]int }

// A message that comes again with its id is a duplicate, however its map is written this time; one that says something else is refused where that can be told.
func TestWindow_TheSameAgain(t *testing.T) {
	t.Parallel()
	handled, conflicts := again(t, stock{map[string]int{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}}, stock{map[string]int{"f": 6}})
	assert.Equal(t, []int{1, 0}, []int{handled, conflicts}, "with a map")
	handled, conflicts = again(t, Refund{1}, Refund{2})
	assert.Equal(t, []int{1, 1}, []int{handled, conflicts}, "without")
}

// again sends a value ten times, and then another, all with one id.
func again[T any](t *testing.T, v, other T) (handled, conflicts int) {
	t.Helper()
	p := pushpull.NewProducer[T](patterns.WithAtLeastOnce(), patterns.WithDeadLetters(func(patterns.DeadLetter) {}))
	w := pushpull.NewWorker[T](patterns.WithWindow(t.TempDir(), spool.WindowOptions{SegmentSize: 64 << 10, Policy: spool.OS}))
	addr, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	var calls atomic.Int64
	ended := make(chan error, 1)
	go func() { // ended by Shutdown
		ended <- w.Run(context.Background(), func(context.Context, T) error { calls.Add(1); return nil })
	}()
	id := codec.NewID()
	for range 10 {
		require.NoError(t, p.Send(within(t), v, patterns.WithID(id)))
	}
	require.NoError(t, p.Send(within(t), other, patterns.WithID(id)))
	require.NoError(t, p.WaitAcked(within(t)))
	conflicts = int(w.Pull.Stats().Acks.ConflictsIn)
	require.NoError(t, errors.Join(p.Close(), w.Shutdown(within(t)), <-ended))
	return int(calls.Load()), conflicts
}
