//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLockIsWaitedForAMoment: who has the lock for as long as looking takes keeps nobody out, and who keeps it is named, with machine and time.
func TestLockIsWaitedForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "spool")
		l, err := Open(dir, Options{SegmentSize: minSegment})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, tryLock(f))
		unlocked := make(chan error, 1)
		time.AfterFunc(3*probeTime+probeTime/2, func() { unlocked <- unlock(f) })
		began := time.Now()
		time.Sleep(probeTime)
		l, err = Open(dir, Options{SegmentSize: minSegment})
		require.NoError(t, err)
		require.NoError(t, <-unlocked)
		require.Equal(t, 4*probeTime, time.Since(began), "it was not free before")

		opened := time.Now().Truncate(time.Second)
		host, err := os.Hostname()
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = Open(dir, Options{SegmentSize: minSegment})
		var held *InUseError
		require.ErrorAs(t, err, &held)
		assert.Equal(t, os.Getpid(), held.PID)
		assert.Equal(t, host, held.Host)
		assert.True(t, opened.Equal(held.Since), held.Since)
		assert.ErrorContains(t, err, host)
		require.NoError(t, l.Close())
	})
}
