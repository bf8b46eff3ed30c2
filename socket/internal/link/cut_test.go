package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ending is a sink that tells when it was closed.
type ending struct {
	*sink
	closed chan struct{}
}

func (e ending) Close() error {
	close(e.closed)
	return nil
}

// cutAfter gives the queue a connection that ends after some bytes, and returns when it has.
func (q *queue) cutAfter(bytes int) {
	e := ending{&sink{room: bytes}, make(chan struct{})}
	q.attach(e)
	<-e.closed
}

// A message within which connection after connection ends is dropped in the end, since the peer most likely refuses it, and what is
// queued behind it goes out. One that got a little further each time, or lost its connection now and then, stays.
func TestOut_RefusedMessageGoes(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.MaxCuts = 3
	large, small := make([]byte, 100<<10), []byte("small")
	q.Append(nil, [][]byte{small}, len(small))
	q.Append(nil, [][]byte{large, small}, len(large)+len(small))
	q.Append(nil, [][]byte{small}, len(small))
	for n, want := range []int{0, 0, 1} { // the first message went with the first connection
		q.cutAfter(50 << 10)
		require.Equal(t, want, q.detach(true), "connection %d", n)
	}
	msgs, _ := q.Depth()
	require.Equal(t, 1, msgs)
	s := &sink{room: -1}
	q.attach(s)
	q.empty()
	q.detach(true)
	whole, _ := naive(s.got, 1<<30)
	assert.Equal(t, [][][]byte{{small}}, whole)
}

// A connection that ends before anything of a message was written says nothing about the message.
func TestOut_CutBeforeMessagesCountsNot(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.MaxCuts = 2
	q.Append(nil, [][]byte{make([]byte, 100<<10)}, 100<<10)
	for range 5 {
		q.cutAfter(0)
		require.Zero(t, q.detach(true))
	}
	for _, want := range []int{0, 1} {
		q.cutAfter(1 << 10)
		require.Equal(t, want, q.detach(true))
	}
	msgs, _ := q.Depth()
	assert.Zero(t, msgs)
}
