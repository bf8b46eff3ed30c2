//go:build unix

package dbtest

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // the driver sqlite3

	"github.com/meshmq/meshmq/patterns/outbox"
)

func TestMain(m *testing.M) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// sqlite returns a new database in a file, and how it is reached.
func sqlite(t *testing.T) (db *sql.DB, dsn string) {
	t.Helper()
	dsn = sqliteDSN(filepath.Join(t.TempDir(), "test.db"))
	return open(t, "sqlite3", dsn), dsn
}

// sqliteDSN waits for no disk, since processes are killed here and not the power, and has transactions take the lock for writing when they begin: one that began by reading could not get it later.
func sqliteDSN(path string) string {
	return "file:" + path + "?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate"
}

// eachDatabase runs a test on a database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, dialect outbox.Dialect, db *sql.DB)) {
	t.Helper()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db, _ := postgres(t)
		test(t, outbox.PostgreSQL, db)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db, _ := sqlite(t)
		test(t, outbox.SQLite, db)
	})
}

// within returns a context that ends after a time no test should need.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
