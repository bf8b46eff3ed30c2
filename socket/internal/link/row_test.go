package link

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A row ends before there is anything to decide: what has no room, is larger than the peer takes or is to be written at once goes by DeliverOpen.
func TestOut_AppendRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		hwm, hwmBytes int
		credit, bytes uint64
		takes, size   int
		inRow, taken  int // behind the first message: in a row until AppendRow refuses, and in all while DeliverOpen asks for no flush
	}{
		{"a group is full", 0, 0, 2000, 1 << 20, 0, 10, 62, 1000},
		{"credit", 0, 0, 20, 1 << 20, 0, 10, 17, 19},
		{"credit in bytes", 0, 0, 1000, 120, 0, 10, 8, 11},
		{"high-water mark", 20, 0, 1000, 1 << 20, 0, 10, 17, 19},
		{"high-water mark in bytes", 0, 120, 1000, 1 << 20, 0, 10, 8, 11},
		{"a write is due, and a block is full", 0, 0, 100_000, 1 << 30, 0, 250, 6, 262},
		{"the peer takes less", 0, 0, 2000, 1 << 20, 9, 10, 0, 1000},
		{"just what the peer takes", 0, 0, 2000, 1 << 20, 10, 10, 62, 1000},
		{"a long frame", 0, 0, 100, 1 << 20, 0, 256, 0, 99},
	} {
		q := newQueue()
		q.HWM, q.HWMBytes = c.hwm, c.hwmBytes
		q.Retain(Retention{Stream: [16]byte{7}})
		q.Attach(NewConn(&counting{})) // with nobody who writes
		q.Grant(c.credit, c.bytes)
		m := [][]byte{make([]byte, c.size)}
		require.True(t, first(q.Deliver(m, c.size, Delivery{Number: 1, Attempt: 1})))
		q.Open(true)
		require.False(t, q.AppendRow(m), "%s: no row yet", c.name)
		ok, flush := q.DeliverOpen(m, c.size, c.takes)
		require.True(t, ok)
		require.False(t, flush)
		inRow, taken := 0, 1
		for q.AppendRow(m) {
			inRow, taken = inRow+1, taken+1
		}
		for ok && !flush && taken < 1000 {
			if ok = q.AppendRow(m); !ok {
				ok, flush = q.DeliverOpen(m, c.size, c.takes)
			}
			if ok {
				taken++
			}
		}
		assert.Equal(t, c.inRow, inRow, c.name)
		assert.Equal(t, c.taken, taken, c.name)
		require.False(t, q.AppendRow([][]byte{{1}, {2}}), "of two frames")
		msgs, bytes := q.Outstanding()
		assert.Equal(t, []int{taken + 1, (taken + 1) * c.size}, []int{msgs, bytes}, c.name)
		q.pumping = false // none was started
		q.Detach(false)
		assert.False(t, q.AppendRow(m), "%s: no connection", c.name)
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n     int
		bound uint64
		used  int
		want  int
	}{
		{10, 100, 0, 10}, {10, 11, 0, 10}, {10, 10, 0, 9}, {10, 10, 8, 1}, {10, 10, 9, 0}, {10, 10, 12, 0}, {10, 0, 0, 0}, {10, math.MaxUint64, 1 << 40, 10},
	} {
		assert.Equal(t, c.want, level(c.n, c.bound, c.used), "%+v", c)
	}
}
