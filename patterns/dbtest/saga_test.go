//go:build unix

package dbtest

import (
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/outbox"
	"github.com/meshmq/meshmq/patterns/saga"
	"github.com/meshmq/meshmq/patterns/saga/sagatest"
)

// sagas is a fixture of stores in one database, each test in a table of its own, which is emptied for the next store.
func sagas(dialect saga.Dialect, db *sql.DB) sagatest.Fixture {
	var tables sync.Map // names by test
	var n atomic.Int64
	return func(t *testing.T) (saga.Store, func() saga.Store) {
		known, there := tables.LoadOrStore(t.Name(), fmt.Sprintf("saga%d", n.Add(1)))
		name := known.(string)
		s := saga.NewSQL(dialect, db, name, time.Hour)
		if there {
			_, err := db.ExecContext(t.Context(), `DELETE FROM "`+name+`"`)
			require.NoError(t, err)
		} else {
			require.NoError(t, s.Migrate(t.Context()))
		}
		return s, func() saga.Store {
			_, err := db.ExecContext(t.Context(), `UPDATE "`+name+`" SET until = 0, due = 0`)
			require.NoError(t, err)
			return saga.NewSQL(dialect, db, name, time.Hour)
		}
	}
}

func TestSagaStore(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		sagatest.Store(t, sagas(dialect, db))
	})
}

// Row 40 of the fault plan on databases.
func TestFault40_CrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		sagatest.Crash(t, sagas(dialect, db))
	})
}
