package spool_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// readings are how many bytes of each segment were read.
type readings struct {
	mu    sync.Mutex
	bytes map[string]int64
}

// counting returns fs with its reads counted.
func counting(fs spool.FS) (*spooltest.Faulty, *readings) {
	r := &readings{bytes: make(map[string]int64)}
	return &spooltest.Faulty{FS: fs, Unreadable: func(name string, _, n int64) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if strings.HasSuffix(name, ".seg") {
			r.bytes[name] += n
		}
		return false
	}}, r
}

// total is how many bytes of all segments were read.
func (r *readings) total() (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, bytes := range r.bytes {
		n += bytes
	}
	return n
}

// requireLastOnly checks that of all segments but the newest nothing but the headers was read so far.
func (r *readings) requireLastOnly(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.bytes))
	require.NotEmpty(t, names)
	for _, name := range names[:len(names)-1] {
		require.LessOrEqual(t, r.bytes[name], int64(spool.DataStart), name)
	}
}

// TestOpeningReadsTheLastSegmentOnly counts what is read: the headers of each sealed segment. TestHuge does so with a large spool.
func TestOpeningReadsTheLastSegmentOnly(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 5000, 500)
	require.Greater(t, len(l.Stats().Segments), 30)
	left, reads := counting(disk.Crash(nil))
	open(t, left, small)
	reads.requireLastOnly(t)
}

// TestLookingForATimeReadsLittle: where a consumer begins that asks for a time is found by the times that segments began, and by reading one of them, or the next (DURABLE.md, 8).
func TestLookingForATimeReadsLittle(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 2500, 500)
	middle := time.Now()
	fill(t, l, 2500, 500)
	require.Greater(t, len(l.Stats().Segments), 30)
	require.NoError(t, l.Close())
	left, reads := counting(disk)
	l = open(t, left, small)
	before := reads.total()
	c, err := l.Consumer("late", spool.Since(middle))
	require.NoError(t, err)
	floor := c.Floor()
	require.EqualValues(t, 2500, floor)
	require.LessOrEqual(t, reads.total()-before, 2*small.SegmentSize)
}
