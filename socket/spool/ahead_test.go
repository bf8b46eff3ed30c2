package spool_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// watched sees what is written to segments.
type watched struct {
	*spooltest.Mem
	wrote func(b []byte, off int64) error
}

type watchedFile struct {
	spool.File
	fs watched
}

func (w watched) Open(name string, flag int) (spool.File, error) {
	f, err := w.Mem.Open(name, flag)
	return watchedFile{f, w}, err
}

func (f watchedFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.wrote(b, off); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// TestWritesAhead_OnceForManySyncs: where that helps, whoever waits for the disk has zeros written behind the end before the sync, up to the end of what was allocated and
// never over a message.
func TestWritesAhead_OnceForManySyncs(t *testing.T) {
	t.Parallel()
	var end, ahead int64
	times := 0
	disk := watched{spooltest.NewMem(), func(b []byte, off int64) error {
		if isZero(b) {
			times++
			assert.Equal(t, end, off)
			ahead = off + int64(len(b))
		} else {
			end = off + int64(len(b))
		}
		return nil
	}}
	l := open(t, disk, spool.Options{SegmentSize: 1 << 20})
	for range 64 {
		fill(t, l, 1, 8000)
	}
	assert.Equal(t, 2, times, "512,000 bytes")
	assert.Greater(t, ahead, end)

	times = 0
	_, err := l.Append(context.Background(), body(65, 100<<10)) // beyond the zeros, by more than a sync can hide
	require.NoError(t, err)
	assert.Zero(t, times)
	require.NoError(t, l.Close())
	numbers, gaps := readSized(t, open(t, disk.Mem, spool.Options{SegmentSize: 1 << 20}).Queue().Reader(), func(n uint64) int {
		if n > 64 {
			return 100 << 10
		}
		return 8000
	})
	assert.Equal(t, upTo(65), numbers)
	assert.Empty(t, gaps)
}

// TestWritesAhead_NotForOtherPolicies: nobody waits for their syncs.
func TestWritesAhead_NotForOtherPolicies(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Interval, spool.OS} {
		disk := watched{spooltest.NewMem(), func(b []byte, off int64) error {
			assert.False(t, isZero(b))
			return nil
		}}
		l := open(t, disk, spool.Options{Policy: policy})
		fill(t, l, 1, 100)
		require.NoError(t, l.Flush(context.Background()))
	}
}

// TestWritesAhead_AnErrorIsNone: the log goes on, and does not try again in the same segment.
func TestWritesAhead_AnErrorIsNone(t *testing.T) {
	t.Parallel()
	tried := 0
	disk := watched{spooltest.NewMem(), func(b []byte, off int64) error {
		if isZero(b) {
			tried++
			return os.ErrInvalid
		}
		return nil
	}}
	l := open(t, disk, spool.Options{SegmentSize: 1 << 20})
	for range 50 {
		fill(t, l, 1, 8000)
	}
	assert.Equal(t, 1, tried)
	require.NoError(t, l.Stats().Failed)
}

// TestWritesAhead_InEachSegment: what was written of the one before says nothing of the next.
func TestWritesAhead_InEachSegment(t *testing.T) {
	t.Parallel()
	times := 0
	disk := watched{spooltest.NewMem(), func(b []byte, off int64) error {
		if isZero(b) {
			times++
		}
		return nil
	}}
	l := open(t, disk, small)
	for turned := 1; turned < 4; {
		fill(t, l, 1, 1000)
		if n := len(l.Stats().Segments); n > turned {
			turned = n
			assert.Equal(t, turned, times)
		}
	}
}
