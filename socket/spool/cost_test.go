package spool_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

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
