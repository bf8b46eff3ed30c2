package saga

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/sqldb"
)

// Dialect is the SQL that a database speaks.
type Dialect = sqldb.Dialect

// The dialects: PostgreSQL from version 10 on, SQLite from 3.35 on, and databases that speak like them.
const (
	PostgreSQL = sqldb.PostgreSQL
	SQLite     = sqldb.SQLite
)

// SQL is a Store in a database, for any number of processes. NewSQL makes one.
type SQL struct {
	dialect sqldb.Dialect
	db      *sql.DB
	table   string
	keep    time.Duration
	pruned  atomic.Int64 // when old ones were deleted, in nanoseconds since 1970
	err     error
}

// NewSQL returns a store in a table of db: 1 to 40 of a-z, 0-9 and _, a letter first. Sagas that have ended are kept as long as keep says. A wrong dialect or name is an error of its methods.
func NewSQL(dialect Dialect, db *sql.DB, table string, keep time.Duration) *SQL {
	return &SQL{dialect: dialect, db: db, table: table, keep: keep, err: errors.Join(dialect.Check(), sqldb.CheckName(table))}
}

func (s *SQL) query(q string) string { return s.dialect.Query(strings.ReplaceAll(q, "{t}", s.table)) }

// Schema returns the statements that make the table, for those who migrate with tools of their own. They can be run again.
func (s *SQL) Schema() []string {
	return []string{
		s.query(`CREATE TABLE IF NOT EXISTS "{t}" (
	id          {key} PRIMARY KEY,
	definition  TEXT NOT NULL,
	version     INTEGER NOT NULL,
	steps       TEXT NOT NULL,
	state       SMALLINT NOT NULL,
	back        SMALLINT NOT NULL,
	step        INTEGER NOT NULL,
	attempt     INTEGER NOT NULL,
	crashes     INTEGER NOT NULL DEFAULT 0,
	reason      TEXT NOT NULL,
	codec       TEXT NOT NULL,
	data        {bytes} NOT NULL,
	correlation TEXT NOT NULL,
	causation   TEXT NOT NULL,
	owner       TEXT NOT NULL,
	epoch       BIGINT NOT NULL,
	due         BIGINT NOT NULL,
	until       BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	updated     BIGINT NOT NULL
)`),
		s.query(`CREATE INDEX IF NOT EXISTS "{t}_due" ON "{t}" (definition, due) WHERE state IN (1, 2)`),
		s.query(`CREATE INDEX IF NOT EXISTS "{t}_state" ON "{t}" (state, id)`),
	}
}

// Migrate runs the statements of Schema in a transaction. What is there already is left alone.
func (s *SQL) Migrate(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("migrate sagas: %w", s.err)
	}
	if err := sqldb.Migrate(ctx, s.dialect, s.db, s.table, s.Schema()); err != nil {
		return fmt.Errorf("migrate %s: %w", s.table, err)
	}
	return nil
}

// Create does what Store says.
func (s *SQL) Create(ctx context.Context, r *Record) error {
	if s.err != nil {
		return s.err
	}
	result, err := s.db.ExecContext(ctx, s.query(`INSERT INTO "{t}" (id, definition, version, steps, state, back, step, attempt, reason, codec, data, correlation, causation,
	owner, epoch, due, until, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', 0, {now}, 0, {now}, {now}) ON CONFLICT (id) DO NOTHING`),
		r.ID, r.Definition, r.Version, r.Steps, int(r.State), flag(r.Back), r.Step, r.Attempt, r.Reason, r.Codec, data(r), r.CorrelationID.String(), r.CausationID.String())
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrExists)
	}
	return nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// data returns the bytes of a value, none of which drivers would take for NULL.
func data(r *Record) []byte {
	if r.Data == nil {
		return []byte{}
	}
	return r.Data
}

const columns = `id, definition, version, steps, state, back, step, attempt, crashes, reason, codec, correlation, causation, owner, epoch, created, updated, data`

// Claim does what Store says.
func (s *SQL) Claim(ctx context.Context, c Claim) (*Record, error) {
	if s.err != nil {
		return nil, s.err
	}
	if err := s.prune(ctx); err != nil {
		return nil, err
	}
	which := `state IN (1, 2) AND due <= {now} AND version IN (` + list(c.Versions) + `) AND $4 = ''`
	if c.ID != "" {
		which = `state = 5 AND id = $4`
	}
	rows, err := s.db.QueryContext(ctx, s.query(`UPDATE "{t}" SET crashes = crashes + CASE WHEN owner = '' THEN 0 ELSE 1 END, owner = $1, epoch = epoch + 1,
	until = {now} + $2, updated = {now} WHERE id = (
	SELECT id FROM "{t}" WHERE definition = $3 AND until <= {now} AND `+which+` ORDER BY due, id LIMIT 1 {skip}) RETURNING `+columns),
		c.Owner, c.Lease.Milliseconds(), c.Definition, c.ID)
	found, err := scan(rows, err)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// list is for numbers of our own, which need no escaping.
func list(numbers []int) string {
	texts := []string{"-1"} // a list may not be empty
	for _, n := range numbers {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ", ")
}

// Save does what Store says.
func (s *SQL) Save(ctx context.Context, r *Record, lease, pause time.Duration) error {
	if s.err != nil {
		return s.err
	}
	result, err := s.db.ExecContext(ctx, s.query(`UPDATE "{t}" SET state = $1, back = $2, step = $3, attempt = $4, reason = $5, codec = $6, data = $7,
	owner = CASE WHEN $8 = 1 THEN owner ELSE '' END, due = {now} + $9, until = {now} + $10, updated = {now}, crashes = $13
WHERE id = $11 AND epoch = $12 AND owner <> ''`),
		int(r.State), flag(r.Back), r.Step, r.Attempt, r.Reason, r.Codec, data(r), flag(lease > 0), pause.Milliseconds(), max(lease, 0).Milliseconds(), r.ID, r.Epoch, r.Crashes)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	if _, err := s.Get(ctx, r.ID); err != nil {
		return err
	}
	return ErrFenced
}

// Get does what Store says.
func (s *SQL) Get(ctx context.Context, id string) (*Record, error) {
	if s.err != nil {
		return nil, s.err
	}
	rows, err := s.db.QueryContext(ctx, s.query(`SELECT `+columns+` FROM "{t}" WHERE id = $1`), id)
	found, err := scan(rows, err)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// List does what Store says.
func (s *SQL) List(ctx context.Context, q Query) ([]*Record, error) {
	if s.err != nil {
		return nil, s.err
	}
	without := strings.TrimSuffix(columns, "data")
	rows, err := s.db.QueryContext(ctx, s.query(`SELECT `+without+`'' FROM "{t}"
WHERE ($1 = '' OR definition = $1) AND ($2 = 0 OR state = $2) AND id > $3 ORDER BY id LIMIT $4`), q.Definition, int(q.State), q.After, q.limit())
	return scan(rows, err)
}

func scan(rows *sql.Rows, err error) (found []*Record, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		var correlation, causation string
		var state, back int
		var created, updated int64
		if err := rows.Scan(&r.ID, &r.Definition, &r.Version, &r.Steps, &state, &back, &r.Step, &r.Attempt, &r.Crashes, &r.Reason, &r.Codec,
			&correlation, &causation, &r.Owner, &r.Epoch, &created, &updated, &r.Data); err != nil {
			return nil, err
		}
		var err1, err2 error
		r.CorrelationID, err1 = codec.ParseID(correlation)
		r.CausationID, err2 = codec.ParseID(causation)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("saga %q: %w", r.ID, err)
		}
		r.State, r.Back = State(state), back != 0
		r.Created, r.Updated = time.UnixMilli(created), time.UnixMilli(updated)
		found = append(found, &r)
	}
	return found, rows.Err()
}

// prune deletes what has ended long ago, once a minute.
func (s *SQL) prune(ctx context.Context) error {
	last, now := s.pruned.Load(), time.Now().UnixNano()
	if now-last < int64(pruneEvery) || !s.pruned.CompareAndSwap(last, now) {
		return nil
	}
	_, err := s.db.ExecContext(ctx, s.query(`DELETE FROM "{t}" WHERE state IN (3, 4) AND id IN (
	SELECT id FROM "{t}" WHERE state IN (3, 4) AND updated < {now} - $1 LIMIT 1000)`), s.keep.Milliseconds())
	return err
}
