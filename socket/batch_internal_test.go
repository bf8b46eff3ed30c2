package socket

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

func batching(t *testing.T, opts ...Option) (*Push, *Pull) {
	t.Helper()
	push, pull := NewPush(WithLinger(0)), NewPull(opts...)
	t.Cleanup(func() { _ = push.Close(); assert.NoError(t, pull.Close()) }) // which says what was not sent
	at, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, push.Connect(at))
	require.NoError(t, pull.WaitPeers(sockettest.Limit(t), 1))
	return push, pull
}

// all counts the messages of a batch.
func (b *Batch) all() (n int) {
	for _, ok := b.Next(); ok; _, ok = b.Next() {
		n++
	}
	return n
}

// What others hold of an inbox keeps the next from being read by the pump, and not by who asks for it.
func TestRecvBatch_BesideOneThatIsHeld(t *testing.T) {
	t.Parallel()
	const hwm = 64
	push, pull := batching(t, WithRecvHWM(hwm))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for push.Send(ctx, []byte("message")) == nil {
		}
	}()
	var held, b Batch
	for held.msgs < hwm {
		held.all()
		require.NoError(t, pull.RecvBatch(sockettest.Limit(t), &held))
	}
	for got := 0; got < 100*hwm; got += b.all() {
		require.NoError(t, pull.RecvBatch(sockettest.Limit(t), &b))
	}
	stop()
	<-ended
}

// A context that has ended gets all that has arrived, as with Recv. While another goroutine is in the middle of reading it may get less: so most times.
func TestRecvBatch_DrainsWithAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	push, pull := batching(t)
	over, stop := context.WithCancel(t.Context())
	stop()
	const n = 5000
	got := 0
	for round := 0; got < n; round++ {
		require.Less(t, round, 20)
		for range n {
			require.NoError(t, push.Send(sockettest.Limit(t), []byte("message")))
		}
		require.Eventually(t, func() bool { return push.Stats().MessagesOut%n == 0 }, sockettest.Timeout, time.Millisecond)
		var b Batch
		for got = 0; pull.RecvBatch(over, &b) == nil; got += b.all() {
		}
		for rest := got; rest < n; rest += b.all() {
			require.NoError(t, pull.RecvBatch(sockettest.Limit(t), &b))
		}
	}
}

// Another goroutine may give back what is left while one takes messages: each is had once, and those that one has are in order.
func TestBatch_ReturnWhileOneTakes(t *testing.T) {
	t.Parallel()
	push, pull := batching(t)
	const n = 5000
	go func() {
		for i := range n {
			assert.NoError(t, push.Send(sockettest.Limit(t), fmt.Append(nil, i)))
		}
	}()
	at := func(m Msg) (i int) {
		_, err := fmt.Sscan(m.String(), &i)
		assert.NoError(t, err)
		return i
	}
	seen := make([]bool, n)
	returned := 0
	for had, round := 0, 0; had < n; round++ {
		var b Batch
		require.NoError(t, pull.RecvBatch(sockettest.Limit(t), &b))
		began, left := b.Len(), make(chan int, 1)
		gone := make(chan struct{})
		go func() { defer close(gone); left <- b.Return() }()
		took, last := 0, -1
		for m, ok := b.Next(); ok; m, ok = b.Next() {
			i := at(m)
			require.False(t, seen[i])
			require.Greater(t, i, last)
			seen[i], last = true, i
			if took++; round%2 == 1 { // it comes between two in any case
				<-gone
			}
		}
		back := <-left
		require.Equal(t, began, took+back)
		require.Zero(t, b.Len())
		had, returned = had+took, returned+back
		require.EqualValues(t, had, pull.Stats().MessagesIn)
	}
	require.Positive(t, returned)
}
