package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/sqldb"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Dialect is the SQL that a database speaks.
type Dialect = sqldb.Dialect

// The dialects: PostgreSQL from version 10 on, SQLite from 3.35 on, and databases that speak like them.
const (
	PostgreSQL = sqldb.PostgreSQL
	SQLite     = sqldb.SQLite
)

// HeaderKey is the header that WithKey sets.
const HeaderKey = "key"

// WithKey says what the message is about, an order number for example: messages of one key are published in the order in which the
// transactions that added them committed. It is sent along as the header HeaderKey. Default: none, and then no order is promised.
func WithKey(key string) patterns.SendOption { return patterns.WithHeader(HeaderKey, key) }

// Tx is the transaction that a message is added in: a *sql.Tx, or a *sql.Conn on which one was begun.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Outbox writes messages into a table, from which a Relay takes them. It holds nothing but its configuration, and is safe for use
// by any number of goroutines.
type Outbox struct {
	table  table
	sealer wire.Sealer
	source conf.Config
	keys   bool // Add orders transactions that have a key in common
	notify string
	err    error // what the options did wrong
}

// New returns an Outbox. What the options do wrong is returned by whatever is done with it.
func New(dialect Dialect, opts ...Option) *Outbox {
	c := config{table: "outbox", keys: true}
	errs := []error{dialect.Check()}
	for _, opt := range opts {
		errs = append(errs, opt(&c))
	}
	source, err := conf.Make("outbox.New", conf.Source, conf.Config{Codec: codec.Msgpack}, c.messages)
	o := &Outbox{
		table:  table{dialect: dialect, name: c.table, total: c.total},
		sealer: wire.NewSealer(patterns.Event, source),
		source: source,
		keys:   c.keys,
		err:    errors.Join(append(errs, err)...),
	}
	if c.notify && dialect == PostgreSQL {
		o.notify = c.table
	}
	return o
}

// Schema returns the statements that make the tables and indexes, for those who migrate with tools of their own: one table named
// as WithTable says, and one with _lease behind its name. They can be run again.
func (o *Outbox) Schema() []string { return o.table.schema() }

// Migrate runs the statements of Schema in a transaction. What is there already is left alone.
func (o *Outbox) Migrate(ctx context.Context, db *sql.DB) error {
	if o.err != nil {
		return fmt.Errorf("migrate outbox: %w", o.err)
	}
	if err := sqldb.Migrate(ctx, o.table.dialect, db, o.table.name, o.Schema()); err != nil {
		return fmt.Errorf("migrate %s: %w", o.table.name, err)
	}
	return nil
}

// Add adds a message to the caller's transaction: it will be published, at least once, if the transaction commits, and never if not.
// The value is encoded, and the id that is returned is given, now: each time that the message is published it is the same bytes, so receivers
// know by the id that they have had it (patterns/middleware and socket.WithWindow drop those). The topic is that of the event; for work,
// which has none, it only says what the message is, and may be empty.
//
// With a key, or WithTotalOrder, Add waits in PostgreSQL until transactions with the same key that have called it have ended; two that add the same two
// keys in different order are a deadlock, which PostgreSQL ends by an error. After an error the transaction is to be rolled back.
func (o *Outbox) Add(ctx context.Context, tx Tx, topic string, v any, opts ...patterns.SendOption) (id codec.ID, err error) {
	if o.err != nil {
		return id, fmt.Errorf("add to outbox: %w", o.err)
	}
	e := codec.Envelope{Type: wire.NameOf(o.source.Schemas, reflect.TypeOf(v))}
	err = o.sealer.Seal(ctx, topic, &e, v, opts, func(ctx context.Context, out *patterns.Outgoing, frame []byte) error {
		id = out.Envelope.ID
		return o.add(ctx, tx, Message{ID: id, Topic: topic, Key: out.Envelope.Header(HeaderKey), Frame: frame})
	})
	if err != nil {
		return codec.ID{}, fmt.Errorf("add to %s: %w", o.table.name, err)
	}
	return id, nil
}

func (o *Outbox) add(ctx context.Context, tx Tx, m Message) error {
	if o.table.dialect == PostgreSQL && (o.table.total || o.keys && m.Key != "") {
		key := m.Key
		if o.table.total {
			key = ""
		}
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", sqldb.LockKey("meshmq outbox", o.table.name, key)); err != nil {
			return err
		}
	}
	if err := o.table.insert(ctx, tx, m); err != nil {
		return err
	}
	if o.notify != "" {
		if _, err := tx.ExecContext(ctx, "SELECT pg_notify($1, '')", o.notify); err != nil {
			return err
		}
	}
	return nil
}

// Channel is what WithNotify notifies: the name of the table.
func (o *Outbox) Channel() string { return o.table.name }

// Parked returns up to n messages that were given up, the oldest first. One whose row was changed so that it does not read has its Number, Reason and Attempts, and may lack the rest.
func (o *Outbox) Parked(ctx context.Context, db *sql.DB, n int) ([]Message, error) {
	if o.err != nil {
		return nil, fmt.Errorf("list parked: %w", o.err)
	}
	return o.table.parked(ctx, db, n)
}

// Unpark has parked messages published after all, with their attempts counted from the beginning, and returns how many of the numbers were
// those of one. They are published as they are: out of the order of their keys, whose later messages have gone before.
func (o *Outbox) Unpark(ctx context.Context, db *sql.DB, numbers ...int64) (int, error) {
	if o.err != nil {
		return 0, fmt.Errorf("unpark: %w", o.err)
	}
	return o.table.unpark(ctx, db, numbers)
}

// Pending returns how many committed messages have yet to be published, not counting parked ones. It reads as many rows.
func (o *Outbox) Pending(ctx context.Context, db *sql.DB) (int, error) {
	if o.err != nil {
		return 0, fmt.Errorf("count pending: %w", o.err)
	}
	return o.table.pending(ctx, db)
}

// Option sets one property of an Outbox.
type Option func(*config) error

type config struct {
	table       string
	total, keys bool
	notify      bool
	messages    []patterns.Option
}

// WithTable names the table: 1 to 40 of a-z, 0-9 and _, a letter first. Default: outbox.
func WithTable(name string) Option {
	return func(c *config) error {
		c.table = name
		return sqldb.CheckName(name)
	}
}

// WithTotalOrder has all messages published in the order in which their transactions committed, whatever their keys. It has its price: in PostgreSQL one
// transaction after the other goes through the stretch from its first Add to its end, and a message that cannot be published holds up all behind it until it is parked.
// All who use the table must agree on it. Default: messages of one key only.
func WithTotalOrder() Option {
	return func(c *config) error {
		c.total = true
		return nil
	}
}

// WithoutKeyLock has Add not wait for other transactions with the same key. The order then is that of the calls of Add, which is that of the commits
// if every transaction locks what the key stands for, the row of the order for example, before it calls Add. It saves one statement.
func WithoutKeyLock() Option {
	return func(c *config) error {
		c.keys = false
		return nil
	}
}

// WithNotify has Add notify the channel named like the table, so that a Relay with WithWait publishes at once when the transaction has committed.
// PostgreSQL lets transactions that notify commit one at a time. SQLite has nothing like it; there it does nothing. Default: off.
func WithNotify() Option {
	return func(c *config) error {
		c.notify = true
		return nil
	}
}

// WithMessages sets how values become messages: patterns.WithCodec, WithSource, WithSchemas.
func WithMessages(opts ...patterns.Option) Option {
	return func(c *config) error {
		c.messages = append(c.messages, opts...)
		return nil
	}
}

var errFenced = fmt.Errorf("the lease is another relay's: %w", socket.ErrState)
