package spool_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestReplayLosesNothing: a dead letter that is replayed is a message again before it is no letter any more: both after a loss of power between two calls, and never neither.
func TestReplayLosesNothing(t *testing.T) {
	t.Parallel()
	disk, rng := spooltest.NewMem(), rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex          // guards the two below
	var after []*spooltest.Mem // what is left if power is lost before each call
	watch := false
	l := open(t, &spooltest.Faulty{FS: disk, Before: func(int64, string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if watch {
			after = append(after, disk.Synced(), disk.Crash(rng), disk.Crash(nil))
		}
		return nil
	}}, small)
	fill(t, l, 1, 100)
	buryFirst(t, l)
	dead, err := l.Dead()
	require.NoError(t, err)
	require.NoError(t, l.Flush(bounded(t)))
	require.Equal(t, [2]int{0, 1}, replayed(t, disk.Synced()))
	mu.Lock()
	watch = true
	mu.Unlock()
	for letter, err := range dead.Letters() {
		require.NoError(t, err)
		_, err = dead.Replay(bounded(t), letter)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	after = append(after, disk.Synced())
	seen := map[[2]int]bool{}
	for _, left := range after {
		seen[replayed(t, left)] = true
	}
	delete(seen, [2]int{0, 1}) // not yet
	delete(seen, [2]int{1, 1}) // both
	assert.Equal(t, map[[2]int]bool{{1, 0}: true}, seen)
}

func buryFirst(t *testing.T, l *spool.Log) {
	t.Helper()
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Queue().Reader()
	defer r.Close()
	rec, err := r.TryNext()
	require.NoError(t, err)
	require.NoError(t, dead.Bury(bounded(t), l.Queue(), rec, "no"))
}

// replayed returns how many messages and how many letters a disk has.
func replayed(t *testing.T, disk spool.FS) (n [2]int) {
	t.Helper()
	l := open(t, disk, small)
	r := l.Queue().Reader()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.Equal(t, string(body(1, 100)), string(rec.Frames[0]))
		n[0]++
	}
	dead, err := l.Dead()
	require.NoError(t, err)
	n[1] = int(dead.Len())
	return n
}

// A message as large as the spool takes goes back into it, too.
func TestReplay_TheLargest(t *testing.T) {
	t.Parallel()
	for _, frames := range [][][]byte{{make([]byte, 1000)}, {make([]byte, 500), make([]byte, 496)}} {
		fs, ctx := spooltest.NewMem(), bounded(t)
		o := small
		o.MaxMessage = 1000
		l := open(t, fs, o)
		_, err := l.Append(ctx, frames...)
		require.NoError(t, err)
		dead, err := l.Dead()
		require.NoError(t, err)
		r := l.Queue().Reader()
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(ctx, l.Queue(), rec, "no"))
		require.NoError(t, r.Close())
		for letter, err := range dead.Letters() {
			require.NoError(t, err)
			_, err = dead.Replay(ctx, letter)
			require.NoError(t, err)
		}
		assert.Equal(t, uint64(1), l.Queue().Pending())
		require.NoError(t, l.Close())
	}
}
