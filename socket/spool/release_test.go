package spool_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestTrim: what a topic keeps goes, that of the segment in use, too, and the log goes on behind it.
func TestTrim(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, spool.Options{Kind: spool.Topic, SegmentSize: small.SegmentSize})
	for range 2 { // the second finds nothing
		fill(t, l, 2000, 100)
		last := l.Next() - 1
		require.NoError(t, l.Trim(bounded(t)))
		assert.Len(t, segments(t, disk), 1)
		assert.Equal(t, last+1, l.First())
		require.NoError(t, l.Trim(bounded(t)))
		numbers, gaps := read(t, l.Reader(spool.At(1)), 100)
		assert.Empty(t, numbers)
		require.NotEmpty(t, gaps)
		assert.Equal(t, spool.Gap{From: 1, To: last}, *gaps[0])
	}
	require.NoError(t, l.Close())
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	require.ErrorIs(t, l.Trim(bounded(t)), spool.ErrClosed)
	require.ErrorIs(t, open(t, spooltest.NewMem(), small).Trim(bounded(t)), spool.ErrKind)
}

// TestTrimOnFullDisk says that the last segment stays.
func TestTrimOnFullDisk(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, spool.Options{Kind: spool.Topic, SegmentSize: small.SegmentSize})
	fill(t, l, 10, 100)
	require.NoError(t, l.Close())
	disk.SetRoom(1)
	l = open(t, disk, spool.Options{Kind: spool.Topic, SegmentSize: small.SegmentSize})
	require.ErrorIs(t, l.Trim(bounded(t)), spool.ErrFull)
	numbers, _ := read(t, l.Reader(spool.At(1)), 100)
	assert.Equal(t, upTo(10), numbers)
	disk.SetRoom(1 << 20)
	require.NoError(t, l.Trim(bounded(t)))
	assert.Equal(t, uint64(11), l.First())
}
