package spool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// Whoever opens a spool after a crash, or after Close, again and again, finds how often each message has failed, for each consumer: as records say it and as checkpoints do, of what was acknowledged beside it nothing.
func TestAttemptsAreKept(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	named := func() *spool.Consumer {
		c, err := l.Consumer("audit", spool.Beginning())
		require.NoError(t, err)
		return c
	}
	want := [2]map[uint64]int{{}, {}}
	check := func() {
		t.Helper()
		for i, c := range []*spool.Consumer{l.Queue(), named()} {
			for n := uint64(1); n < l.Next(); n++ {
				require.Equal(t, want[i][n], c.Attempts(n), "message %d, consumer %q", n, c.Name())
			}
		}
	}
	for round := range 6 {
		before := l.Next()
		fill(t, l, 60, 1000) // now and then a segment is full
		for i, c := range []*spool.Consumer{l.Queue(), named()} {
			for n := before; n < l.Next(); n += uint64(7 + i) {
				for range 1 + n%3 {
					count, err := c.Fail(n)
					require.NoError(t, err)
					want[i][n]++
					require.Equal(t, want[i][n], count)
				}
			}
			require.NoError(t, c.Ack(before+7, before+8)) // the second for the queue, the first of the others for neither
			delete(want[i], before+7)
			delete(want[i], before+8)
		}
		require.NoError(t, l.Flush(bounded(t)))
		if round%3 == 2 {
			require.NoError(t, l.Close())
		} else {
			disk = disk.Crash(nil)
		}
		l = open(t, disk, small)
		check()
	}
}
