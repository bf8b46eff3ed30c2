package spool_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestSpareThatIsTriedToGrow: while a message waits for a larger segment than there is room for, one that comes in the moment in which that is tried
// goes into the segment that is there, though the disk stays full.
func TestSpareThatIsTriedToGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l *spool.Log
		var tried atomic.Bool
		disk, large, little := spooltest.NewMem(), make(chan error, 1), make(chan error, 1)
		send := func(size int, sent chan error) {
			_, err := l.Append(t.Context(), make([]byte, size))
			sent <- err
		}
		l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, _ string) error {
			if op == "allocate" && tried.CompareAndSwap(true, false) {
				go send(100_000, little)
				synctest.Wait()
				assert.Empty(t, little, "it waits")
			}
			return nil
		}}, medium)
		require.NoError(t, err)
		synctest.Wait() // there is a spare
		fill(t, l, 880, 1000)
		disk.SetRoom(0)
		go send(2<<20, large)
		time.Sleep(3 * time.Second)
		tried.Store(true)
		time.Sleep(3 * time.Second)
		require.Len(t, little, 1)
		require.NoError(t, <-little)
		require.Empty(t, large)
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-large, spool.ErrClosed)
	})
}
