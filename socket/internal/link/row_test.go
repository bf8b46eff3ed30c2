package link

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
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
		{"a write is due, and a block is full", 0, 0, 100_000, 1 << 30, 0, 250, 4, 262},
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
		require.False(t, q.AppendRow(m, size(m)), "%s: no row yet", c.name)
		ok, flush := q.DeliverOpen(m, c.size, c.takes)
		require.True(t, ok)
		require.False(t, flush)
		inRow, taken := 0, 1
		for q.AppendRow(m, size(m)) {
			inRow, taken = inRow+1, taken+1
		}
		for ok && !flush && taken < 1000 {
			if ok = q.AppendRow(m, size(m)); !ok {
				ok, flush = q.DeliverOpen(m, c.size, c.takes)
			}
			if ok {
				taken++
			}
		}
		assert.Equal(t, c.inRow, inRow, c.name)
		assert.Equal(t, c.taken, taken, c.name)
		require.False(t, q.AppendRow([][]byte{{1}, {2}}, 2), "of two frames")
		msgs, bytes := q.Outstanding()
		assert.Equal(t, []int{taken + 1, (taken + 1) * c.size}, []int{msgs, bytes}, c.name)
		q.pumping = false // none was started
		q.Detach(false)
		assert.False(t, q.AppendRow(m, size(m)), "%s: no connection", c.name)
	}
}

// Who sends one message after the other on an acknowledged link writes whole blocks, each in one call, but for the first ones, whose block begins behind a small one.
func TestOut_WritesWholeBlocks(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 100, 255, 256, 1000} {
		q := newQueue()
		q.Retain(Retention{Stream: [16]byte{7}})
		conn := &counting{}
		q.Attach(NewConn(conn)) // with nobody who writes
		q.Grant(100_000, 1<<30)
		m := [][]byte{make([]byte, size)}
		require.True(t, first(q.Deliver(m, size, Delivery{Number: 1, Attempt: 1})))
		q.Open(true)
		for writes := 0; writes < 5; {
			if q.AppendRow(m, size) {
				continue
			}
			ok, flush := q.DeliverOpen(m, size, 0)
			require.True(t, ok)
			if !flush {
				continue
			}
			parts, before := len(q.segs), conn.n
			q.Flush()
			if writes++; writes > 2 {
				require.Equal(t, 1, parts, "messages of %d", size)
				require.Greater(t, conn.n-before, chunkSize-2*(size+zmtp.MaxHeaderSize), "messages of %d", size)
			}
		}
		q.pumping = false // none was started
		q.Detach(false)
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

// On a plain link a row ends where AppendOpen has something to decide: whether there is room, who writes, and whether to answer at once.
func TestOut_AppendRowOfAPlainLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		hwm, bytes   int
		takes, size  int
		inRow, taken int // in a row until AppendRow refuses, and in all until a write is due or there is no room
	}{
		{"high-water mark", 20, 0, 0, 10, 18, 20},
		{"high-water mark in bytes", 0, 120, 0, 10, 9, 12},
		{"a chunk is full, and a write is due", 0, 0, 0, 250, 7, 263},
		{"the peer takes less", 0, 0, 9, 10, 0, 1000},
		{"a long frame", 0, 0, 0, 256, 0, 256},
	} {
		q := newQueue()
		q.HWM, q.HWMBytes = c.hwm, c.bytes
		q.Attach(NewConn(&counting{})) // with nobody who writes
		q.Open(true)
		m := [][]byte{make([]byte, c.size)}
		require.False(t, q.AppendRow(m, size(m)), "%s: no row yet", c.name)
		ok, flush := q.AppendOpen(m, c.size, c.takes)
		require.True(t, ok)
		inRow, taken := 0, 1
		for q.AppendRow(m, size(m)) {
			inRow, taken = inRow+1, taken+1
		}
		for ok && !flush && taken < 1000 {
			if ok = q.AppendRow(m, size(m)); !ok {
				ok, flush = q.AppendOpen(m, c.size, c.takes)
			}
			if ok {
				taken++
			}
		}
		assert.Equal(t, c.inRow, inRow, c.name)
		assert.Equal(t, c.taken, taken, c.name)
		msgs, bytes := q.Depth()
		assert.Equal(t, []int{taken, taken * c.size}, []int{msgs, bytes}, c.name)
		q.pumping = false // none was started
		q.Detach(false)
	}
}

// Who answers is not held up by a row: the first message after the peer has spoken is decided about.
func TestOut_AnswersEndRows(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.Open(true)
	m := bodiesOf("x")
	require.True(t, first(q.AppendOpen(m, 1, 0)))
	require.True(t, q.AppendRow(m, size(m)))
	q.Spoke()
	require.False(t, q.AppendRow(m, size(m)))
	require.True(t, first(q.AppendOpen(m, 1, 0)))
	require.True(t, q.AppendRow(m, size(m)))
}

// Room is lent where any short message may follow in a row, to one at a time, and what is not filled leaves nothing.
func TestOut_Lend(t *testing.T) {
	t.Parallel()
	begun := func(takes int) *queue {
		q := newQueue()
		q.Open(true)
		require.True(t, first(q.AppendOpen(bodiesOf("first"), 5, takes)))
		return q
	}
	q := begun(0)
	room := q.Lend()
	require.Len(t, room, math.MaxUint8)
	assert.Equal(t, len(room), cap(room))
	assert.Nil(t, q.Lend(), "lent already")
	q.Fill(copy(room, "second"))
	require.Len(t, q.Lend(), math.MaxUint8)
	q.Fill(-1)
	require.True(t, q.AppendRow(bodiesOf("third"), 5))
	assert.Equal(t, []byte("\x00\x05first\x00\x06second\x00\x05third"), q.Take().data)
	assert.Nil(t, q.Lend(), "no row")

	q = begun(0)
	q.Spoke()
	assert.Nil(t, q.Lend(), "the peer has spoken")
	assert.Nil(t, begun(254).Lend(), "the peer takes less")
	assert.NotNil(t, begun(255).Lend())
	q = begun(0)
	for q.Lend() != nil {
		q.Fill(255)
	}
	left := len(q.mu.row.buf) - q.mu.row.pos
	assert.Less(t, left, 2+255, "there is no room for the longest")
	assert.NotZero(t, left)
}

// Whatever is added in rows, beside them and between flushes arrives, in order.
func TestOut_RowsOfAPlainLinkArrive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 11))
		q := newQueue()
		q.Open(true)
		s := &sink{room: -1, shy: seed%2 == 0}
		var sent [][][]byte
		inRow, lent := 0, 0
		for n := range 1000 {
			if n == 100 {
				q.attach(s)
			}
			m := [][]byte{[]byte("topic"), {}, fmt.Append(nil, "message ", n)}[r.IntN(3):]
			if r.IntN(20) == 0 {
				m = message(r, n)
			}
			ok, flush := false, false
			if len(m) > 1 || r.IntN(2) == 0 {
				ok = q.AppendRow(m, size(m))
			} else if room := q.Lend(); room != nil {
				if ok = len(m[0]) <= copy(room, m[0]); ok {
					q.Fill(len(m[0]))
					lent++
				} else {
					q.Fill(-1)
				}
			}
			if ok {
				inRow++
			} else if ok, flush = q.AppendOpen(m, size(m), 0); !ok {
				t.Fatal("there is room for all")
			}
			if flush || r.IntN(300) == 0 {
				q.Flush()
			}
			sent = append(sent, m)
		}
		q.empty()
		q.detach(true)
		whole, _ := naive(s.got, 1<<30)
		require.Equal(t, sent, whole, "seed %d", seed)
		require.Greater(t, inRow, 200)
		require.Greater(t, lent, 50)
		msgs, bytes := q.Totals()
		require.EqualValues(t, len(sent), msgs)
		require.NotZero(t, bytes)
	}
}
