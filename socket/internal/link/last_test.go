package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// What is to go first goes first on each connection, and a command that is to be the last is: messages stay for the next connection.
func TestOut_FirstAndLast(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.First = zmtp.AppendFrame(nil, 0, []byte("first"))
	q.Append(nil, [][]byte{[]byte("queued")}, 6)
	for range 2 {
		s := &sink{room: -1}
		q.attach(s)
		q.empty()
		q.Last(zmtp.AppendError(nil, "told"))
		q.Append(nil, [][]byte{[]byte("queued")}, 6)
		require.Zero(t, q.detach(true))
		want := append(zmtp.AppendFrame(nil, 0, []byte("first")), zmtp.AppendFrame(nil, 0, []byte("queued"))...)
		assert.Equal(t, string(zmtp.AppendError(want, "told")), string(s.got))
		msgs, _ := q.Depth()
		assert.Equal(t, 1, msgs)
	}
	q.Last(nil) // without a connection there is nobody to tell
}

// Take empties the queue, whatever it is made of, and returns what it held.
func TestOut_Take(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.Append(nil, [][]byte{[]byte("small")}, 5)
	q.Append([][]byte{{}}, [][]byte{make([]byte, 100<<10), []byte("end")}, 100<<10+3)
	b := q.Take()
	msgs, _ := q.Depth()
	require.Zero(t, msgs)
	require.Equal(t, 2, b.Msgs)
	frames, size := b.Next(&Slab{}, 0)
	assert.Equal(t, [][]byte{[]byte("small")}, frames)
	assert.Equal(t, 5, size)
	frames, _ = b.Next(&Slab{}, 0)
	require.Len(t, frames, 3)
	assert.Len(t, frames[1], 100<<10)
	assert.Equal(t, "end", string(frames[2]))
	assert.Zero(t, q.Take().Msgs)
}

// Last waits a moment for a peer that does not take what it is told, and no longer.
func TestOut_LastToASilentPeer(t *testing.T) {
	t.Parallel()
	q := newQueue()
	s := &sink{room: -1, block: make(chan struct{})}
	q.attach(s)
	q.Append(nil, [][]byte{[]byte("stuck")}, 5)
	q.Last(zmtp.AppendError(nil, "told"))
	close(s.block)
	q.detach(false)
}

// Last does not need the pump, which may come too late: what was queued to be said before goes out, too, behind what was being written.
func TestOut_LastWithoutThePump(t *testing.T) {
	t.Parallel()
	q := newQueue()
	s := &sink{room: -1, shy: true}
	q.Attach(NewConn(s))
	q.Append(nil, [][]byte{[]byte("message")}, 7)
	q.Flush()
	require.Less(t, len(s.got), 9)
	s.shy = false
	q.Settle(zmtp.AppendAck(nil, 1, nil))
	q.Last(zmtp.AppendCredit(nil, 0, 0))
	want := zmtp.AppendAck(zmtp.AppendFrame(nil, 0, []byte("message")), 1, nil)
	assert.Equal(t, string(zmtp.AppendCredit(want, 0, 0)), string(s.got))
}
