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
		took, _ := q.AppendOpen(body, 1)
		require.Equal(t, step.took, took)
	}
	msgs, _ := q.Depth()
	require.Equal(t, 2, msgs)
	require.False(t, q.refused)
}

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
