package outbox

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// add adds a row.
func (s *rows) add(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Number = int64(len(s.list) + 1)
	s.list = append(s.list, row{Message: m})
}

// start runs a relay until the function that it returns is called.
func start(t *testing.T, r *Relay) (stop func()) {
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context()) }() // ended by stop, which waits for it
	return func() {
		require.NoError(t, r.Shutdown(context.Background()))
		require.NoError(t, <-done)
	}
}

// A relay that looks at the table once an hour looks at once when it is woken, and when what WithWait waits for has come; while it is paused it publishes
// nothing, and nobody else does.
func TestRelay_WakesAndPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := newRows("a"), new(peer)
		notified, asked := make(chan struct{}), 0
		wait := func(ctx context.Context) error {
			if asked++; asked == 1 {
				return errors.New("no connection") // it is asked again
			}
			select {
			case <-notified:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r := newRelay(s, "outbox", nil, p, []RelayOption{quiet, WithPoll(time.Hour, time.Hour), WithWait(wait)})
		defer start(t, r)()
		synctest.Wait() // it leads
		follower := newRelay(s, "outbox", nil, p, []RelayOption{quiet})
		defer start(t, follower)()
		synctest.Wait()
		assert.Equal(t, []int64{1}, p.published())
		s.add(Message{})
		time.Sleep(time.Minute)
		assert.Len(t, p.published(), 1)
		r.Wake()
		synctest.Wait()
		assert.Equal(t, []int64{1, 2}, p.published())
		time.Sleep(time.Hour) // until it asks again
		s.add(Message{})
		notified <- struct{}{}
		synctest.Wait()
		assert.Equal(t, []int64{1, 2, 3}, p.published())

		r.Pause()
		r.Pause()
		s.add(Message{})
		for range 3 {
			r.Wake()
			time.Sleep(3 * time.Hour)
		}
		assert.Len(t, p.published(), 3)
		assert.True(t, r.Stats().Leads)
		r.Resume()
		r.Resume()
		synctest.Wait()
		assert.Equal(t, []int64{1, 2, 3, 4}, p.published())
	})
}

// keeper notes what is asked of the table about old rows.
type keeper struct {
	*rows
	mu      sync.Mutex // guards the fields below
	kept    []bool
	cleaned []time.Duration // ages
	old     int             // rows that can be cleaned
}

func (k *keeper) asked() ([]bool, []time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.kept), slices.Clone(k.cleaned)
}

func (k *keeper) settle(ctx context.Context, epoch int64, sent []int64, failed []failure, keep bool) error {
	k.mu.Lock()
	k.kept = append(k.kept, keep)
	k.mu.Unlock()
	return k.rows.settle(ctx, epoch, sent, failed, keep)
}

func (k *keeper) clean(_ context.Context, age time.Duration, n int) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleaned = append(k.cleaned, age)
	gone := min(n, k.old)
	k.old -= gone
	return gone, nil
}

// Published rows are kept for as long as is said, deleted some at a time, and looked for once a minute.
func TestRelay_Keeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{rows: newRows("a"), old: 2500}
		r := newRelay(k, "outbox", nil, new(peer), []RelayOption{quiet, WithKeep(time.Hour)})
		stop := start(t, r)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		_, cleaned := k.asked()
		assert.Equal(t, []time.Duration{time.Hour, time.Hour, time.Hour}, cleaned, "until none is left")
		time.Sleep(time.Minute)
		stop()
		kept, cleaned := k.asked()
		assert.Len(t, cleaned, 4)
		assert.Equal(t, []bool{true}, kept)
		assert.Equal(t, uint64(2500), r.Stats().Cleaned)
		k.add(Message{})
		stop = start(t, newRelay(k, "outbox", nil, new(peer), []RelayOption{quiet, WithKeep(0)}))
		synctest.Wait()
		stop()
		kept, _ = k.asked()
		assert.Equal(t, []bool{true, false}, kept)
	})
}

// A sink that panics has failed with this message, and with no other.
func TestRelay_SinkPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []int64
		var reasons []string
		r := newRelay(newRows("a", "b"), "outbox", nil, SinkFunc(func(_ context.Context, m *Message) error {
			if m.Key == "a" {
				panic("at sea")
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, m.Number)
			return nil
		}), []RelayOption{WithAttempts(2), WithRetry(time.Second, time.Second), WithHook(func(_ context.Context, e Event) {
			if e.Kind == Parked {
				mu.Lock()
				defer mu.Unlock()
				reasons = append(reasons, e.Message.Reason)
			}
		})})
		stop := start(t, r)
		time.Sleep(time.Minute)
		stop()
		assert.Equal(t, []int64{2}, got)
		assert.Equal(t, []string{"handler panicked: at sea"}, reasons)
		assert.Equal(t, uint64(1), r.Stats().Failed)
	})
}

type order struct{ Number int }

// statements is a transaction that writes down what it is asked. The bytes it is given are the caller's again when it returns, as with any database.
type statements struct {
	queries []string
	args    [][]any
}

func (s *statements) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	args = slices.Clone(args)
	for i, arg := range args {
		if b, ok := arg.([]byte); ok {
			args[i] = slices.Clone(b)
		}
	}
	s.queries, s.args = append(s.queries, query), append(s.args, args)
	return nil, nil
}

// What is added belongs to the conversation of its context, has the id that Add returns and what WithMessages says; in PostgreSQL its key, or that of all
// messages, is locked before.
func TestAdd(t *testing.T) {
	t.Parallel()
	parent := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID()}
	ctx := patterns.NewContext(t.Context(), parent)
	for name, c := range map[string]struct {
		box     *Outbox
		options []patterns.SendOption
		locks   bool
		told    bool
	}{
		"SQLite":                   {New(SQLite, WithMessages(patterns.WithSource("shop")), WithNotify()), []patterns.SendOption{WithKey("k")}, false, false},
		"PostgreSQL without a key": {New(PostgreSQL, WithMessages(patterns.WithSource("shop"))), nil, false, false},
		"with a key":               {New(PostgreSQL, WithMessages(patterns.WithSource("shop")), WithNotify()), []patterns.SendOption{WithKey("k")}, true, true},
		"in total order":           {New(PostgreSQL, WithMessages(patterns.WithSource("shop")), WithTotalOrder()), nil, true, false},
		"that locks itself":        {New(PostgreSQL, WithMessages(patterns.WithSource("shop")), WithoutKeyLock()), []patterns.SendOption{WithKey("k")}, false, false},
	} {
		var tx statements
		id, err := c.box.Add(ctx, &tx, "orders.new", order{1}, c.options...)
		require.NoError(t, err, name)
		at := 0
		if c.locks {
			assert.Contains(t, tx.queries[0], "pg_advisory_xact_lock", name)
			at = 1
		}
		row := tx.args[at]
		require.Contains(t, tx.queries[at], "INSERT", name)
		assert.Equal(t, []any{id.String(), "orders.new"}, row[:2], name)
		var e codec.Envelope
		require.NoError(t, e.Decode(row[3].([]byte)), name)
		assert.Equal(t, []any{id, parent.CorrelationID, parent.ID, "shop", "order"}, []any{e.ID, e.CorrelationID, e.CausationID, e.Source, e.Type}, name)
		assert.Equal(t, row[2], e.Header(HeaderKey), name)
		assert.Equal(t, c.told, strings.Contains(tx.queries[len(tx.queries)-1], "pg_notify"), name)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	err := newRelay(newRows(), "outbox", nil, new(peer), []RelayOption{
		WithLease(time.Millisecond), WithBatch(0), WithPoll(2, 1), WithAttempts(-1), WithRetry(0, 1), WithKeep(-1), WithWait(nil), WithHook(nil),
	}).Run(t.Context())
	require.ErrorIs(t, err, socket.ErrOption)
	for _, part := range []string{"WithLease(1ms)", "WithBatch(0)", "WithPoll(2ns, 1ns)", "WithAttempts(-1)", "WithRetry(0s, 1ns)", "WithKeep(-1ns)", "WithWait(nil)", "WithHook(nil)"} {
		assert.ErrorContains(t, err, part)
	}
	box := New(PostgreSQL, WithTable("Not a name"))
	require.ErrorIs(t, box.Migrate(t.Context(), nil), socket.ErrOption)
	_, err = box.Parked(t.Context(), nil, 1)
	require.ErrorIs(t, err, socket.ErrOption)
	_, err = box.Unpark(t.Context(), nil, 1)
	require.ErrorIs(t, err, socket.ErrOption)
	_, err = box.Pending(t.Context(), nil)
	require.ErrorIs(t, err, socket.ErrOption)
	_, err = box.Add(t.Context(), nil, "t", 1)
	require.ErrorIs(t, err, socket.ErrOption)
}
