package outbox

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/sqldb"
)

// batchBytes bounds what a relay has in memory beyond the first row of a batch.
const batchBytes = 8 << 20

// table is the SQL. Names in it were checked; all else are arguments.
//
//	state 0   to be published, not before due; number is its place
//	state 1   published at settled
//	state 2   parked at settled, for the reason in reason
//
// A row is found by its state, never by "numbers above the last one": numbers are given when a row is inserted, become visible when its transaction
// commits, and a lower one may do so after a higher one. What such a position would skip for good, this finds at the next look.
type table struct {
	dialect sqldb.Dialect
	name    string
	total   bool
}

func (t *table) query(q string) string {
	return t.dialect.Query(strings.ReplaceAll(q, "{t}", t.name))
}

func (t *table) schema() []string {
	statements := []string{
		`CREATE TABLE IF NOT EXISTS "{t}" (
	number   {serial},
	id       TEXT NOT NULL,
	topic    TEXT NOT NULL,
	key      {key} NOT NULL,
	frame    {bytes} NOT NULL,
	added    BIGINT NOT NULL,
	state    SMALLINT NOT NULL DEFAULT 0,
	due      BIGINT NOT NULL DEFAULT 0,
	attempts INTEGER NOT NULL DEFAULT 0,
	settled  BIGINT NOT NULL DEFAULT 0,
	reason   TEXT NOT NULL DEFAULT ''
)`,
		`CREATE INDEX IF NOT EXISTS "{t}_pending" ON "{t}" (number) WHERE state = 0`,
		`CREATE INDEX IF NOT EXISTS "{t}_held" ON "{t}" (key, number) WHERE state = 0 AND due > 0`,
		`CREATE INDEX IF NOT EXISTS "{t}_sent" ON "{t}" (settled) WHERE state = 1`,
		`CREATE INDEX IF NOT EXISTS "{t}_parked" ON "{t}" (number) WHERE state = 2`,
		`CREATE TABLE IF NOT EXISTS "{t}_lease" (
	name  TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	until BIGINT NOT NULL
)`,
	}
	for i, s := range statements {
		statements[i] = t.query(s)
	}
	return statements
}

func (t *table) insert(ctx context.Context, tx Tx, m Message) error {
	_, err := tx.ExecContext(ctx, t.query(`INSERT INTO "{t}" (id, topic, key, frame, added) VALUES ($1, $2, $3, $4, {now})`),
		m.ID.String(), m.Topic, m.Key, m.Frame)
	return err
}

// acquire takes the lease if it is free or has run out. ok is false if somebody else has it.
func (t *table) acquire(ctx context.Context, db *sql.DB, owner string, length time.Duration) (epoch int64, ok bool, err error) {
	err = db.QueryRowContext(ctx, t.query(`INSERT INTO "{t}_lease" AS l (name, owner, epoch, until) VALUES ('relay', $1, 1, {now} + $2)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = l.epoch + 1, until = excluded.until WHERE l.until <= {now}
RETURNING epoch`), owner, length.Milliseconds()).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return epoch, err == nil, err
}

// renew prolongs the lease, or ends it with a length of 0. errFenced says that it is somebody else's by now.
func (t *table) renew(ctx context.Context, db Tx, epoch int64, length time.Duration) error {
	return one(db.ExecContext(ctx, t.query(`UPDATE "{t}_lease" SET until = {now} + $1 WHERE name = 'relay' AND epoch = $2`), length.Milliseconds(), epoch))
}

// one turns "no row was updated" into errFenced.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = errFenced
	}
	return err
}

// columns begin with those that do for a row whose others do not read.
const columns = `number, reason, attempts, id, topic, key, frame, added`

// fetch returns up to n rows that are due, in order: none that would overtake one that waits for its next attempt.
func (t *table) fetch(ctx context.Context, db *sql.DB, n int) ([]Message, error) {
	overtakes := `key <> '' AND EXISTS (SELECT 1 FROM "{t}" h WHERE h.state = 0 AND h.due > 0 AND h.due > {now} AND h.key = o.key AND h.number < o.number)`
	if t.total {
		overtakes = `EXISTS (SELECT 1 FROM "{t}" h WHERE h.state = 0 AND h.due > 0 AND h.due > {now} AND h.number < o.number)`
	}
	return t.read(ctx, db, batchBytes,
		`SELECT `+columns+` FROM "{t}" o WHERE state = 0 AND due <= {now} AND NOT (`+overtakes+`) ORDER BY number LIMIT $1`, n)
}

func (t *table) parked(ctx context.Context, db *sql.DB, n int) ([]Message, error) {
	return t.read(ctx, db, 1<<62, `SELECT `+columns+` FROM "{t}" WHERE state = 2 ORDER BY number LIMIT $1`, n)
}

// read returns the rows of a query, bad ones among them, and stops when their frames have so many bytes.
func (t *table) read(ctx context.Context, db *sql.DB, bytes int, query string, args ...any) (found []Message, err error) {
	rows, err := db.QueryContext(ctx, t.query(query), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for bytes > 0 && rows.Next() {
		var m Message
		var id string
		var added int64
		err := rows.Scan(&m.Number, &m.Reason, &m.Attempts, &id, &m.Topic, &m.Key, &m.Frame, &added)
		if err == nil {
			m.ID, err = codec.ParseID(id)
		}
		if err != nil && m.Number == 0 {
			return nil, err
		}
		m.bad = err
		m.Added = time.UnixMilli(added)
		bytes -= len(m.Frame)
		found = append(found, m)
	}
	return found, rows.Err()
}

// failure is what became of a row that could not be published.
type failure struct {
	number   int64
	attempts int
	pause    time.Duration // until the next attempt
	park     bool
	err      error
	reason   string
}

// settle notes what became of a batch, if the lease is still that of epoch: its row is locked first, so that nobody takes it meanwhile.
func (t *table) settle(ctx context.Context, db *sql.DB, epoch int64, sent []int64, failed []failure, keep bool) error {
	return sqldb.InTx(ctx, db, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, t.query(`UPDATE "{t}_lease" SET until = until WHERE name = 'relay' AND epoch = $1`), epoch)); err != nil {
			return err
		}
		if len(sent) > 0 {
			mark := `UPDATE "{t}" SET state = 1, settled = {now}, due = 0`
			if !keep {
				mark = `DELETE FROM "{t}"`
			}
			if _, err := tx.ExecContext(ctx, t.query(mark+` WHERE state = 0 AND `+t.among()), t.list(sent)); err != nil {
				return err
			}
		}
		for _, f := range failed {
			if err := t.fail(ctx, tx, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *table) fail(ctx context.Context, tx Tx, f failure) (err error) {
	if f.park {
		_, err = tx.ExecContext(ctx, t.query(`UPDATE "{t}" SET state = 2, attempts = $1, reason = $2, settled = {now} WHERE number = $3 AND state = 0`),
			f.attempts, f.reason, f.number)
	} else {
		_, err = tx.ExecContext(ctx, t.query(`UPDATE "{t}" SET due = {now} + $1, attempts = $2, reason = $3 WHERE number = $4 AND state = 0`),
			f.pause.Milliseconds(), f.attempts, f.reason, f.number)
	}
	return err
}

func (t *table) unpark(ctx context.Context, db *sql.DB, numbers []int64) (int, error) {
	r, err := db.ExecContext(ctx, t.query(`UPDATE "{t}" SET state = 0, due = 0, attempts = 0 WHERE state = 2 AND `+t.among()), t.list(numbers))
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

func (t *table) pending(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, t.query(`SELECT COUNT(*) FROM "{t}" WHERE state = 0`)).Scan(&n)
	return n, err
}

// clean deletes up to n rows that were sent longer ago than age, and returns how many.
func (t *table) clean(ctx context.Context, db *sql.DB, age time.Duration, n int) (int, error) {
	r, err := db.ExecContext(ctx, t.query(`DELETE FROM "{t}" WHERE state = 1 AND number IN (
	SELECT number FROM "{t}" WHERE state = 1 AND settled < {now} - $1 ORDER BY settled LIMIT $2)`), age.Milliseconds(), n)
	if err != nil {
		return 0, err
	}
	gone, err := r.RowsAffected()
	return int(gone), err
}

// among is the condition that a row's number is in the list that is argument 1: one text for lists of any length, so that
// prepared statements are found again.
func (t *table) among() string {
	if t.dialect == SQLite {
		return `number IN (SELECT value FROM json_each('[' || $1 || ']'))`
	}
	return `number = ANY (CAST(string_to_array($1, ',') AS BIGINT[]))`
}

func (t *table) list(numbers []int64) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(texts, ",")
}
