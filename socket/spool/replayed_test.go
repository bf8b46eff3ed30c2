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

// TestReplay_KeepsItsPlace: row 31 of the fault plan, across crashes. However often a message dies and is replayed it has the number and the incarnation that it had at first, and its
// letter says when the one that died was appended.
func TestReplay_KeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewMem()
		l := open(t, disk, small)
		crash := func() {
			time.Sleep(time.Hour)
			left := disk.Crash(nil)
			require.NoError(t, l.Close())
			disk = left
			l = open(t, disk, small)
		}
		next := func() spool.Record {
			r := l.Queue().Reader()
			defer r.Close()
			rec, err := r.TryNext()
			require.NoError(t, err)
			return rec.Clone()
		}
		fill(t, l, 1, 20)
		require.NoError(t, l.Queue().Ack(1, 1))
		crash()
		fill(t, l, 1, 20)
		first := next()
		require.Equal(t, uint64(2), first.Number)
		require.Greater(t, first.Incarnation, uint32(1))
		for range 2 {
			crash()
			died := next()
			dead, err := l.Dead()
			require.NoError(t, err)
			require.NoError(t, dead.Bury(t.Context(), l.Queue(), died, "no"))
			crash()
			dead, err = l.Dead()
			require.NoError(t, err)
			require.Equal(t, uint64(1), dead.Len())
			for letter, err := range dead.Letters() {
				require.NoError(t, err)
				assert.Equal(t, first.Number, letter.Origin)
				assert.Equal(t, first.Incarnation, letter.Incarnation)
				assert.Equal(t, died.Time, letter.Time)
				n, err := dead.Replay(t.Context(), letter)
				require.NoError(t, err)
				assert.Greater(t, n, died.Number)
			}
			crash()
			again := next()
			assert.Equal(t, first.Number, again.Origin)
			assert.Equal(t, first.Incarnation, again.Incarnation)
			assert.Equal(t, first.Frames, again.Frames)
		}
	})
}
