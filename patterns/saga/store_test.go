package saga_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/saga"
	"github.com/meshmq/meshmq/patterns/saga/sagatest"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

func memory(*testing.T) (saga.Store, func() saga.Store) {
	m := saga.NewMemory(time.Hour)
	return m, func() saga.Store { m.Expire(); return m }
}

var swift = saga.JournalOptions{Spool: spool.Options{SegmentSize: 64 << 10, Policy: spool.OS}}

// journal is a Journal whose process is killed: the next one finds the files as they are at that moment.
func journal(t *testing.T) (saga.Store, func() saga.Store) {
	all := t.TempDir()
	dir := filepath.Join(all, "0")
	open := func() *saga.Journal {
		j, err := saga.OpenJournal(dir, swift)
		require.NoError(t, err)
		return j
	}
	j, kills := open(), 0
	t.Cleanup(func() { assert.NoError(t, j.Close()) })
	return j, func() saga.Store {
		kills++
		left := filepath.Join(all, strconv.Itoa(kills))
		require.NoError(t, os.CopyFS(left, os.DirFS(dir)))
		require.NoError(t, j.Close())
		require.NoError(t, os.RemoveAll(dir))
		dir = left
		j = open()
		return j
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	sagatest.Store(t, memory)
}

func TestJournal(t *testing.T) {
	t.Parallel()
	sagatest.Store(t, journal)
}

// Row 40 of the fault plan: a process dies at each step and each compensation, and the next one once more.
func TestFault40_CrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	sagatest.Crash(t, memory, 2, 5, 9)
}

// Row 40 of the fault plan, with what the next process finds on disk.
func TestFault40_CrashOfAJournal(t *testing.T) {
	t.Parallel()
	sagatest.Crash(t, journal)
}

// A version that was being written when another runner claimed the saga does not count, and does not stay: it would be found when the later ones are gone.
func TestMemory_DropsWhatCameTooLate(t *testing.T) {
	t.Parallel()
	m := saga.NewMemory(time.Hour)
	written, writing, release, dropped := uint64(0), make(chan struct{}), make(chan struct{}), []uint64(nil)
	m.Keep(func(_ context.Context, r *saga.Record, _ uint64) (uint64, error) {
		if r.Step == 1 {
			close(writing)
			<-release
			return 99, nil
		}
		written++
		return written, nil
	}, func(number uint64) { dropped = append(dropped, number) })
	claim := saga.Claim{Definition: "work", Versions: []int{1}, Owner: "me", Lease: time.Hour}
	require.NoError(t, m.Create(t.Context(), &saga.Record{ID: "1", Definition: "work", Version: 1, State: saga.Running}))
	first, err := m.Claim(t.Context(), claim)
	require.NoError(t, err)
	saved := make(chan error, 1)
	go func() { // ends when it is released
		first.Step = 1
		saved <- m.Save(t.Context(), first, time.Hour, 0)
	}()
	<-writing
	m.Expire()
	second, err := m.Claim(t.Context(), claim)
	require.NoError(t, err)
	require.NotNil(t, second)
	close(release)
	require.ErrorIs(t, <-saved, saga.ErrFenced)
	assert.Equal(t, []uint64{99}, dropped)
	require.NoError(t, m.Save(t.Context(), second, 0, 0))
}
