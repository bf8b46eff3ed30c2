//go:build unix

package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/outbox"
)

type placed struct{ N int }

// newOutbox returns an outbox whose tables are there.
func newOutbox(t *testing.T, dialect outbox.Dialect, db *sql.DB, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	box := outbox.New(dialect, opts...)
	require.NoError(t, box.Migrate(t.Context(), db))
	return box
}

// add adds messages in one transaction each.
func add(t *testing.T, box *outbox.Outbox, db *sql.DB, key string, numbers ...int) (ids []codec.ID) {
	t.Helper()
	for _, n := range numbers {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		id, err := box.Add(t.Context(), tx, "orders.placed", placed{n}, withKey(key)...)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		ids = append(ids, id)
	}
	return ids
}

func withKey(key string) []patterns.SendOption {
	if key == "" {
		return nil
	}
	return []patterns.SendOption{outbox.WithKey(key)}
}

// book is a sink that writes down what it gets.
type book struct {
	mu   sync.Mutex
	got  []outbox.Message
	fail func(m *outbox.Message) error
	more chan struct{} // has room for one
}

func newBook() *book { return &book{more: make(chan struct{}, 1)} }

func (b *book) Send(_ context.Context, m *outbox.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(m); err != nil {
			return err
		}
	}
	c := *m
	c.Frame = append([]byte(nil), m.Frame...)
	b.got = append(b.got, c)
	select {
	case b.more <- struct{}{}:
	default:
	}
	return nil
}

func (b *book) Flush(context.Context) error { return nil }

func (b *book) messages() []outbox.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]outbox.Message(nil), b.got...)
}

// wait waits until there are n messages, and returns their values.
func (b *book) wait(t *testing.T, n int) (values []int) {
	t.Helper()
	for ctx := within(t); ; {
		got := b.messages()
		if len(got) >= n {
			for _, m := range got {
				values = append(values, valueOf(t, m.Frame))
			}
			return values
		}
		select {
		case <-b.more:
		case <-ctx.Done():
			require.Fail(t, "messages are missing", "%d of %d are there", len(got), n)
		}
	}
}

func valueOf(t *testing.T, frame []byte) int {
	t.Helper()
	var e codec.Envelope
	require.NoError(t, e.Decode(frame))
	var v placed
	require.NoError(t, codec.Msgpack.Unmarshal(e.Body, &v))
	return v.N
}

// run runs a relay until the function returned is called.
func run(t *testing.T, r *outbox.Relay) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context()) }() // ended by stop, which waits for it
	var once sync.Once
	stop = func() {
		once.Do(func() {
			assert.NoError(t, r.Shutdown(context.WithoutCancel(t.Context())))
			assert.NoError(t, <-done)
		})
	}
	t.Cleanup(stop)
	return stop
}

var quiet = outbox.WithHook(func(context.Context, outbox.Event) {})

func quick() []outbox.RelayOption {
	return []outbox.RelayOption{quiet, outbox.WithPoll(time.Millisecond, 20*time.Millisecond), outbox.WithRetry(time.Millisecond, 5*time.Millisecond)}
}

func TestOutbox_PublishesWhatIsCommittedInOrder(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		box := newOutbox(t, dialect, db)
		require.NoError(t, box.Migrate(t.Context(), db), "again")
		ids := add(t, box, db, "a", 1, 2)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = box.Add(t.Context(), tx, "orders.placed", placed{3})
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		ids = append(ids, add(t, box, db, "", 4)...)
		n, err := box.Pending(t.Context(), db)
		require.NoError(t, err)
		assert.Equal(t, 3, n)

		b := newBook()
		relay := outbox.NewRelay(box, db, b, quick()...)
		stop := run(t, relay)
		assert.Equal(t, []int{1, 2, 4}, b.wait(t, 3))
		stop()
		for i, m := range b.messages() {
			var e codec.Envelope
			require.NoError(t, e.Decode(m.Frame))
			assert.Equal(t, ids[i], m.ID)
			assert.Equal(t, ids[i], e.ID, "the id is that of Add")
			assert.Equal(t, "placed", e.Type)
			assert.Equal(t, "orders.placed", m.Topic)
			assert.WithinDuration(t, time.Now(), m.Added, time.Minute)
		}
		assert.Equal(t, uint64(3), relay.Stats().Published)
		n, err = box.Pending(t.Context(), db)
		require.NoError(t, err)
		assert.Zero(t, n)
	})
}

// A row that fails holds up its key until it is parked; everything else goes on. Unpark has it published after all.
func TestOutbox_PoisonIsParked(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		box := newOutbox(t, dialect, db)
		add(t, box, db, "sick", 1, 2)
		add(t, box, db, "well", 3)
		add(t, box, db, "gone", 4)
		b, attempts := newBook(), 0
		b.fail = func(m *outbox.Message) error {
			switch valueOf(t, m.Frame) {
			case 1:
				attempts++
				return fmt.Errorf("attempt %d\x00\xff", attempts)
			case 4:
				return patterns.Permanent(errors.New("never"))
			}
			return nil
		}
		relay := outbox.NewRelay(box, db, b, append(quick(), outbox.WithAttempts(3))...)
		stop := run(t, relay)
		assert.Equal(t, []int{3, 2}, b.wait(t, 2))
		stop()
		assert.Equal(t, 3, attempts)
		parked, err := box.Parked(t.Context(), db, 10)
		require.NoError(t, err)
		require.Len(t, parked, 2)
		assert.Equal(t, "attempt 3??", parked[0].Reason)
		assert.Equal(t, 3, parked[0].Attempts)
		assert.Equal(t, "never", parked[1].Reason)
		assert.Equal(t, 1, parked[1].Attempts)
		s := relay.Stats()
		assert.Equal(t, [3]uint64{2, 2, 2}, [3]uint64{s.Published, s.Failed, s.Parked})

		b.fail = nil
		n, err := box.Unpark(t.Context(), db, parked[0].Number, parked[1].Number, 999)
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		run(t, outbox.NewRelay(box, db, b, quick()...))
		assert.Equal(t, []int{3, 2, 1, 4}, b.wait(t, 4))
	})
}

// A row that somebody has changed into none is parked, is listed, and holds up no other, even in total order.
func TestOutbox_RowsThatDoNotRead(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		box := newOutbox(t, dialect, db, outbox.WithTotalOrder())
		add(t, box, db, "a", 1, 2)
		damage := "id = 'none'"
		if dialect == outbox.SQLite { // which has any value in any column
			damage = "added = 'yesterday'"
		}
		for _, change := range []string{"id = 'none' WHERE number = 1", damage + " WHERE number = 2"} {
			_, err := db.ExecContext(t.Context(), "UPDATE outbox SET "+change)
			require.NoError(t, err)
		}
		add(t, box, db, "a", 3)
		b := newBook()
		relay := outbox.NewRelay(box, db, b, quick()...)
		stop := run(t, relay)
		assert.Equal(t, []int{3}, b.wait(t, 1))
		stop()
		parked, err := box.Parked(t.Context(), db, 10)
		require.NoError(t, err)
		require.Len(t, parked, 2)
		for i, m := range parked {
			assert.EqualValues(t, i+1, m.Number)
			assert.NotEmpty(t, m.Reason)
		}
		assert.Contains(t, parked[0].Reason, `"none"`)
		assert.EqualValues(t, 2, relay.Stats().Parked)
		assert.Zero(t, relay.Stats().Outages)
	})
}

// In total order a row that fails holds up all behind it.
func TestOutbox_TotalOrder(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		box := newOutbox(t, dialect, db, outbox.WithTable("events"), outbox.WithTotalOrder())
		add(t, box, db, "a", 1)
		add(t, box, db, "b", 2)
		add(t, box, db, "", 3)
		b, left := newBook(), 4
		b.fail = func(m *outbox.Message) error {
			if valueOf(t, m.Frame) == 2 && left > 0 {
				left--
				return errors.New("not yet")
			}
			return nil
		}
		run(t, outbox.NewRelay(box, db, b, quick()...))
		assert.Equal(t, []int{1, 2, 3}, b.wait(t, 3))
	})
}

// Writers that commit in another order than they were given numbers in: nothing is skipped, and each key is in the order of its commits.
func TestOutbox_LateCommitsAreNotSkipped(t *testing.T) {
	t.Parallel()
	db, _ := postgres(t)
	box := newOutbox(t, outbox.PostgreSQL, db)
	b := newBook()
	run(t, outbox.NewRelay(box, db, b, quick()...))
	early, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = box.Add(t.Context(), early, "t", placed{1}, outbox.WithKey("a"))
	require.NoError(t, err)
	add(t, box, db, "b", 2, 3)
	assert.Equal(t, []int{2, 3}, b.wait(t, 2), "not held up by a transaction with another key")

	added := make(chan error, 1)
	late, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	go func() { // ends when early has
		_, err := box.Add(t.Context(), late, "t", placed{4}, outbox.WithKey("a"))
		added <- errors.Join(err, late.Commit())
	}()
	require.NoError(t, early.Commit())
	require.NoError(t, <-added)
	assert.Equal(t, []int{2, 3, 1, 4}, b.wait(t, 4), "in the order of the key's commits")
	got := b.messages()
	assert.Less(t, got[2].Number, got[0].Number, "its number was lower, and it came later")
}

// Many writers at once: the messages of a key go out in the order in which their transactions committed, which a counter tells that is
// locked after Add. (With WithoutKeyLock this test fails.)
func TestOutbox_OrderUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	db, _ := postgres(t)
	box := newOutbox(t, outbox.PostgreSQL, db, outbox.WithNotify())
	_, err := db.ExecContext(t.Context(), "CREATE TABLE counter (key TEXT PRIMARY KEY, n INTEGER NOT NULL)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO counter VALUES ('a', 0), ('b', 0)")
	require.NoError(t, err)
	b := newBook()
	run(t, outbox.NewRelay(box, db, b, quick()...))
	const writers, each = 6, 20
	var all sync.WaitGroup
	var committed sync.Map // id to place
	for w := range writers {
		all.Go(func() { // ends by itself, awaited below
			for i := range each {
				key := []string{"a", "b"}[(w+i)%2]
				id, n, err := addThenCount(t.Context(), box, db, key)
				if !assert.NoError(t, err) {
					return
				}
				committed.Store(id, n)
			}
		})
	}
	all.Wait()
	b.wait(t, writers*each)
	last := map[string]int{}
	for _, m := range b.messages() {
		n, _ := committed.Load(m.ID)
		assert.Equal(t, last[m.Key]+1, n, "key %s", m.Key)
		last[m.Key]++
	}
	assert.Equal(t, writers*each, last["a"]+last["b"])
}

// Of two relays one publishes, and the other when the first has ended, again and again: nothing twice, and nothing out of order.
func TestOutbox_OneOfTwoRelaysLeads(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		const rounds, each = 4, 10
		box := newOutbox(t, dialect, db)
		b := newBook()
		type relay struct {
			*outbox.Relay
			stop func()
		}
		begin := func() relay {
			r := outbox.NewRelay(box, db, b, quick()...)
			return relay{r, run(t, r)}
		}
		pair := []relay{begin(), begin()}
		var want []int
		for round := range rounds {
			for i := range each {
				want = append(want, round*each+i)
			}
			add(t, box, db, "a", want[round*each:]...)
			require.Equal(t, want, b.wait(t, len(want)))
			leader := slices.IndexFunc(pair, func(r relay) bool { return r.Stats().Leads })
			require.GreaterOrEqual(t, leader, 0)
			assert.False(t, pair[1-leader].Stats().Leads, "one leads")
			pair[leader].stop()
			assert.EqualValues(t, each, pair[leader].Stats().Published)
			assert.Zero(t, pair[1-leader].Stats().Published)
			pair[leader] = begin()
		}
	})
}

// addThenCount adds a message and returns its place among those of the key that committed.
func addThenCount(ctx context.Context, box *outbox.Outbox, db *sql.DB, key string) (id codec.ID, n int, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return id, 0, err
	}
	defer tx.Rollback() // after Commit it does nothing
	if id, err = box.Add(ctx, tx, "t", placed{}, outbox.WithKey(key)); err != nil {
		return id, 0, err
	}
	if err = tx.QueryRowContext(ctx, "UPDATE counter SET n = n + 1 WHERE key = $1 RETURNING n", key).Scan(&n); err != nil {
		return id, 0, err
	}
	return id, n, tx.Commit()
}
