package spool

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A letter that is being replayed is not purged: it would be counted as both.
func TestPurgeOfALetterBeingReplayed(t *testing.T) {
	t.Parallel()
	l, err := Open(t.TempDir(), Options{SegmentSize: minSegment, Policy: OS})
	require.NoError(t, err)
	defer l.Close()
	for range 3 {
		n, err := l.Append(t.Context(), []byte("x"))
		require.NoError(t, err)
		_, err = l.Queue().Fail(n)
		require.NoError(t, err)
	}
	dead, err := l.Dead()
	require.NoError(t, err)
	for n := uint64(1); n <= 3; n++ {
		r := l.Queue().From(n)
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(t.Context(), l.Queue(), rec.Clone(), "refused"))
		r.Close()
	}
	require.NoError(t, dead.take(2))
	require.ErrorIs(t, dead.Purge(1, 3), ErrNumber)
	require.NoError(t, dead.Purge(1, 1))
	assert.EqualValues(t, 2, dead.Len())
	dead.release(2)
	require.NoError(t, dead.Purge(1, 3))
	assert.Zero(t, dead.Len())
}
