// Package sqldb is what PostgreSQL and SQLite say differently. Packages outbox and saga write their SQL for both.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"

	"github.com/meshmq/meshmq/socket"
)

// Dialect is the SQL of a database.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = iota + 1 // 10 or later, and what speaks like it
	SQLite                        // 3.35 or later
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}

// Check refuses what is none of the dialects.
func (d Dialect) Check() error {
	if d != PostgreSQL && d != SQLite {
		return fmt.Errorf("%w: %v: want PostgreSQL or SQLite", socket.ErrOption, d)
	}
	return nil
}

// Query returns a query in the dialect. It is written with $1, $2, ... for arguments; {now} is the database's clock in milliseconds since
// 1970, {serial} the type of a key that counts up, {bytes} that of bytes, {key} that of text that is compared byte by byte, and {skip} passes over rows that others have locked.
func (d Dialect) Query(query string) string {
	if d == SQLite {
		return sqlite.Replace(query)
	}
	return postgres.Replace(query)
}

// The clock is that of the moment, not of the beginning of the transaction. It is the database's, so that leases are measured by one clock.
var postgres = strings.NewReplacer(
	"{now}", "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
	"{serial}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
	"{bytes}", "BYTEA",
	"{key}", `TEXT COLLATE "C"`,
	"{skip}", "FOR UPDATE SKIP LOCKED",
)

// AUTOINCREMENT gives no number twice, even when the last row is deleted.
var sqlite = strings.NewReplacer(
	"{now}", "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
	"{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT",
	"{bytes}", "BLOB",
	"{key}", "TEXT",
	"{skip}", "",
	"$", "?",
)

var name = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// CheckName refuses names of tables that would have to be escaped, that databases spell in several ways, or that leave no room for
// the names of indexes.
func CheckName(table string) error {
	if !name.MatchString(table) {
		return fmt.Errorf("%w: table %.50q: want 1 to 40 of a-z, 0-9 and _, a letter first", socket.ErrOption, table)
	}
	return nil
}

// LockKey returns the number of an advisory lock. Two names that share one wait for each other without need, and no worse.
func LockKey(names ...string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(names, "\x00"))) // it has no errors
	return int64(h.Sum64())
}

// Migrate makes what the statements make, in one transaction. It may run in several processes at once: where CREATE IF NOT EXISTS
// does not keep these apart, a lock does.
func Migrate(ctx context.Context, d Dialect, db *sql.DB, table string, statements []string) error {
	return InTx(ctx, db, func(tx *sql.Tx) error {
		if d == PostgreSQL {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", LockKey("meshmq migrate", table)); err != nil {
				return err
			}
		}
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// InTx runs f in a transaction.
func InTx(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if undone := tx.Rollback(); undone != nil && !errors.Is(undone, sql.ErrTxDone) {
			err = errors.Join(err, undone)
		}
		return err
	}
	return tx.Commit()
}
