package saga_test

import (
	"path/filepath"
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

func journal(t *testing.T) (saga.Store, func() saga.Store) {
	dir := filepath.Join(t.TempDir(), "journal")
	open := func() *saga.Journal {
		j, err := saga.OpenJournal(dir, swift)
		require.NoError(t, err)
		return j
	}
	j := open()
	t.Cleanup(func() { assert.NoError(t, j.Close()) })
	return j, func() saga.Store {
		require.NoError(t, j.Close())
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
