package spool_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestReadingAgainIsCheap: a message that a reader has passed is found again, from whatever place, by reading some of its segment, and not all that lies
// before it. Otherwise each message that is refused would cost as much as thousands that are not.
func TestReadingAgainIsCheap(t *testing.T) {
	t.Parallel()
	const n, size, segment, most = 4000, 1000, 4 << 20, 600 << 10
	var got atomic.Int64
	disk := &spooltest.Faulty{FS: spooltest.NewMem(), Unreadable: func(_ string, _, n int64) bool {
		got.Add(n)
		return false
	}}
	o := spool.Options{SegmentSize: segment, Policy: spool.OS}
	l := open(t, disk, o)
	fill(t, l, n, size)
	numbers, _ := read(t, l.Queue().Reader(), size)
	require.Len(t, numbers, n)

	again := func(l *spool.Log, number uint64) int64 {
		before := got.Load()
		r := l.Queue().From(number)
		defer r.Close()
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.Equal(t, number, rec.Number)
		require.Equal(t, string(body(number, size)), string(rec.Frames[0]))
		return got.Load() - before
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		number := rng.Uint64N(n) + 1
		require.LessOrEqual(t, again(l, number), int64(most), "message %d", number)
	}

	require.NoError(t, l.Close())
	l = open(t, disk, o) // which knows no landmarks
	const late = 3500
	first := again(l, late)
	require.Greater(t, first, int64(most))
	assert.Less(t, again(l, late), first/2, "one look has found them")
}
