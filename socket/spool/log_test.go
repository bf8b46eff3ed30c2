package spool_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

func TestAppendThenRead(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			fs := spooltest.NewMem()
			o := small
			o.Policy = policy
			l := open(t, fs, o)
			fill(t, l, 3000, 100)
			numbers, gaps := read(t, l.Reader(spool.Beginning()), 100)
			assert.Equal(t, upTo(3000), numbers)
			assert.Empty(t, gaps)
			require.NoError(t, l.Close())

			l = open(t, fs, o)
			assert.True(t, l.Recovery().Clean)
			fill(t, l, 3000, 100)
			numbers, gaps = read(t, l.Reader(spool.Beginning()), 100)
			assert.Equal(t, upTo(6000), numbers)
			assert.Empty(t, gaps)
		})
	}
}

func TestRealDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/spool"
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	fill(t, l, 2000, 100)
	_, err = spool.Open(dir, small)
	var held *spool.InUseError
	require.ErrorAs(t, err, &held)
	require.ErrorIs(t, err, spool.ErrInUse)
	assert.NotZero(t, held.PID)
	require.NoError(t, l.Close())

	l, err = spool.Open(dir, small)
	require.NoError(t, err)
	numbers, gaps := read(t, l.Reader(spool.Beginning()), 100)
	assert.Equal(t, upTo(2000), numbers)
	assert.Empty(t, gaps)
	require.NoError(t, l.Close())
}
