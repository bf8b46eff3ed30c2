package link

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// AppendOpen queues while it may and while there is room, and owes nobody a call of Room.
func TestOut_AppendOpen(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.HWM = 2
	body := [][]byte{[]byte("x")}
	for _, step := range []struct{ open, took bool }{{false, false}, {true, true}, {false, false}, {true, true}, {true, false}} {
		q.Open(step.open)
		took, _ := q.AppendOpen(body, 1, 0)
		require.Equal(t, step.took, took)
	}
	msgs, _ := q.Depth()
	require.Equal(t, 2, msgs)
	require.False(t, q.refused)
}

// DeliverOpen counts on from the last message's number, which Recall returns, as long as it may and there is room. The peer takes each for what it is.
func TestOut_DeliverOpen(t *testing.T) {
	t.Parallel()
	q := newQueue()
	require.False(t, first(q.DeliverOpen(bodiesOf("x"), 1, 0)), "not acknowledged")
	q.Retain(Retention{Stream: [16]byte{7}})
	s := &sink{room: -1}
	q.attach(s)
	defer q.detach(false)
	q.Grant(5, 1<<20)
	bodies := [][][]byte{bodiesOf("first"), bodiesOf("short"), {[]byte("two"), []byte("frames")}, {make([]byte, 300)}, {make([]byte, 40_000)}}
	require.True(t, first(q.Deliver(bodies[0], 5, Delivery{Number: 41, Attempt: 3})))
	require.False(t, first(q.DeliverOpen(bodies[1], 5, 0)), "not open")
	q.Open(true)
	for _, m := range bodies[1:] {
		require.True(t, first(q.DeliverOpen(m, size(m), 0)))
	}
	require.False(t, first(q.DeliverOpen(bodies[1], 5, 0)), "no credit")
	require.False(t, q.refused)
	require.EqualValues(t, 45, q.Recall())
	for len(sentTo(t, s)) < len(bodies) {
		q.Flush()
	}
	for i, a := range sentTo(t, s) {
		attempt := 1
		if i == 0 {
			attempt = 3
		}
		require.Equal(t, arrived{number: uint64(41 + i), attempt: attempt, frames: bodies[i]}, a)
	}
	_, _, err := q.Ack(ackOf(t, 1, 2, 3, 4, 5))
	require.NoError(t, err)
	require.False(t, first(q.DeliverOpen(bodies[1], 5, 0)), "recalled")
}

func first(ok, _ bool) bool { return ok }

// Vacant counts what has room, by messages and by bytes.
func TestOut_Vacant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hwm, hwmBytes, queued, size, msgs, bytes int }{
		{0, 0, 5, 10, math.MaxInt, math.MaxInt},
		{8, 0, 5, 10, 3, math.MaxInt},
		{5, 0, 5, 10, 0, 0},
		{8, 100, 5, 10, 3, 50},
		{8, 100, 5, 51, 0, 0},
		{8, 100, 0, 200, 8, 200},
	} {
		q := newQueue()
		q.HWM, q.HWMBytes = c.hwm, c.hwmBytes
		for range c.queued {
			ok, _ := q.Append(nil, [][]byte{make([]byte, 10)}, 10)
			require.True(t, ok)
		}
		msgs, bytes := q.Vacant(c.size)
		assert.Equal(t, []int{c.msgs, c.bytes}, []int{msgs, bytes}, "%+v", c)
		assert.Equal(t, c.msgs == 0, q.refused)
	}
}
