package servertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStuck_Context: calls that give the spool a message end with their context while the client waits for a write that does not end, as to a machine that was cut off.
func TestStuck_Context(t *testing.T) {
	t.Parallel()
	fail := newFailpoint()
	nc := connect(t, startNode(t, nil), through(fail))
	s := open(t, nc, "orders", quick)
	t.Cleanup(fail.open) // before it is closed
	stuck := fail.arm(beforeWrite, "HPUB meshmq.spool.orders.")
	_, err := s.Enqueue(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	<-stuck
	ctx, cancel := context.WithTimeout(bounded(t), 10*time.Millisecond)
	defer cancel()
	type result struct {
		number uint64
		err    error
	}
	appended := make(chan result, 1)
	go func() { // ends when the write does at the latest
		number, err := s.Append(ctx, []byte(text(2)))
		appended <- result{number, err}
	}()
	select {
	case r := <-appended:
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Equal(t, uint64(2), r.number)
	case <-time.After(10 * time.Second):
		require.Fail(t, "it waits for the write")
	}
	fail.open()
	require.NoError(t, s.Wait(bounded(t), 2))
}
