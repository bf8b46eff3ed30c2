package spool_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestOpeningReadsTheLastSegmentOnly counts reads: one page of each sealed segment.
func TestOpeningReadsTheLastSegmentOnly(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 5000, 500)
	last := l.Stats().Segments
	require.Greater(t, len(last), 30)
	left := disk.Crash(nil)
	var mu sync.Mutex
	reads := make(map[string]int)
	again, err := spool.OpenFS(&spooltest.Faulty{FS: left, Before: func(_ int64, op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == "read" && strings.HasSuffix(name, ".seg") {
			reads[name]++
		}
		return nil
	}}, small)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	mu.Lock()
	defer mu.Unlock()
	for _, s := range last[:len(last)-1] {
		assert.Equal(t, 1, reads[s.Name], s.Name)
	}
}
