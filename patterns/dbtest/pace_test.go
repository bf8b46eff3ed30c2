//go:build unix

package dbtest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/outbox"
)

// A relay that looks at the table once an hour is told of each commit by PostgreSQL.
func TestOutbox_Notifies(t *testing.T) {
	t.Parallel()
	db, dsn := postgres(t)
	box := newOutbox(t, outbox.PostgreSQL, db, outbox.WithTable("told"), outbox.WithNotify())
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), "LISTEN "+pgx.Identifier{box.Channel()}.Sanitize())
	require.NoError(t, err)
	wait := outbox.WithWait(func(ctx context.Context) error {
		_, err := conn.WaitForNotification(ctx)
		return err
	})
	b := newBook()
	stop := run(t, outbox.NewRelay(box, db, b, quiet, outbox.WithPoll(time.Hour, time.Hour), wait))
	for n := range 5 {
		add(t, box, db, "", n+1)
		b.wait(t, n+1)
	}
	stop()
}

// Published rows are deleted when they are as old as is said: at once, or when a relay looks for such.
func TestOutbox_Keeps(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dialect outbox.Dialect, db *sql.DB) {
		box, b := newOutbox(t, dialect, db), newBook()
		rows := func() (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM outbox").Scan(&n))
			return n
		}
		publish := func(numbers ...int) outbox.Stats {
			before := len(b.messages())
			add(t, box, db, "", numbers...)
			relay := outbox.NewRelay(box, db, b, append(quick(), outbox.WithKeep(time.Hour))...)
			stop := run(t, relay)
			b.wait(t, before+len(numbers))
			stop()
			return relay.Stats()
		}
		publish(1, 2)
		assert.Equal(t, 2, rows())
		_, err := db.ExecContext(t.Context(), "UPDATE outbox SET settled = settled - 3600001 WHERE number = 1")
		require.NoError(t, err)
		assert.Equal(t, uint64(1), publish(3).Cleaned)
		assert.Equal(t, 2, rows(), "numbers 2 and 3")

		add(t, box, db, "", 4)
		stop := run(t, outbox.NewRelay(box, db, b, append(quick(), outbox.WithKeep(0))...))
		b.wait(t, 4)
		stop()
		assert.LessOrEqual(t, rows(), 2)
		var left int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM outbox WHERE number = 4").Scan(&left))
		assert.Zero(t, left, "deleted at once")
	})
}
