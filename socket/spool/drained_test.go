package spool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestDrainedQueueGivesALargeSegmentBack: what it took beyond two of the usual size, for a message or since the log was closed at the end of one.
func TestDrainedQueueGivesALargeSegmentBack(t *testing.T) {
	t.Parallel()
	for name, need := range map[string]func(*testing.T, *spooltest.Mem) *spool.Log{
		"a large message": func(t *testing.T, disk *spooltest.Mem) *spool.Log {
			l := open(t, disk, small)
			fill(t, l, 1, 3*int(small.SegmentSize))
			return l
		},
		"closed when its segment was full": func(t *testing.T, disk *spooltest.Mem) *spool.Log {
			l := open(t, disk, small)
			fill(t, l, fullSegment(t)-1, 20)
			for n := range uint64(10) { // in the room that is kept for that
				require.NoError(t, l.Queue().Ack(2*n+1, 2*n+1))
				require.NoError(t, l.Flush(bounded(t)))
			}
			require.NoError(t, l.Close())
			return open(t, disk, small)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := spooltest.NewMem()
				l := need(t, disk)
				time.Sleep(5 * time.Second)
				require.Greater(t, l.Stats().Bytes, 2*small.SegmentSize)
				require.NoError(t, l.Queue().Ack(1, l.Next()-1))
				time.Sleep(5 * time.Second)
				assert.LessOrEqual(t, l.Stats().Bytes, 2*small.SegmentSize)
				fill(t, l, 1, 20)
				numbers, gaps := read(t, l.Queue().Reader(), 20)
				assert.Equal(t, []uint64{l.Next() - 1}, numbers)
				assert.Empty(t, gaps)
				require.NoError(t, l.Close())
				report, err := spool.VerifyFS(disk)
				require.NoError(t, err)
				assert.Empty(t, report.Damage)
			})
		})
	}
}

// fullSegment returns how many messages of 20 bytes a new log has when one begins its second segment.
func fullSegment(t *testing.T) int {
	t.Helper()
	for l := open(t, spooltest.NewMem(), small); ; {
		if fill(t, l, 1, 20); len(l.Stats().Segments) > 1 {
			return int(l.Next() - 1)
		}
	}
}
