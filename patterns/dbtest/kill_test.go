//go:build unix

package dbtest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/outbox"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// childEnv names what a process that is to be killed is told: the driver, the database, where to publish to, and the number of its life.
const childEnv = "MESHMQ_OUTBOX_CHILD"

// TestFault39_Child is the process that TestFault39_Kill kills: it places orders, half of which it rolls back, and relays what it has committed.
func TestFault39_Child(t *testing.T) {
	told := strings.Split(os.Getenv(childEnv), "|")
	if len(told) != 4 {
		t.Skip("runs as the child of TestFault39_Kill")
	}
	dialect := outbox.SQLite
	if told[0] == "pgx" {
		dialect = outbox.PostgreSQL
	}
	db := open(t, told[0], told[1])
	box := outbox.New(dialect)
	producer := pushpull.NewProducer[placed](patterns.WithSocketOptions(socket.WithAck(), socket.WithAckRequired()))
	defer producer.Close()
	require.NoError(t, producer.Connect(told[2]))
	relay := outbox.NewRelay(box, db, outbox.ToPush(producer.Push), append(quick(), outbox.WithLease(200*time.Millisecond), outbox.WithBatch(7))...)
	ctx, stop := context.WithCancel(t.Context())
	go func() { // ends with its input: it is to end in order
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() { // ends with ctx, awaited below
			for i := 0; ctx.Err() == nil; i++ {
				if assert.NoError(t, place(t.Context(), db, box, fmt.Sprintf("%s/%d/%d", told[3], w, i), i%3 == 2)) {
					relay.Wake()
					fmt.Println("@placed")
				}
			}
		})
	}
	go func() { // ends by Shutdown
		assert.NoError(t, relay.Run(t.Context()))
	}()
	writers.Wait()
	for n := 1; n > 0; {
		var err error
		n, err = box.Pending(t.Context(), db)
		require.NoError(t, err)
	}
	require.NoError(t, relay.Shutdown(t.Context()))
}

// place writes an order and the message about it, and commits them or not.
func place(ctx context.Context, db *sql.DB, box *outbox.Outbox, name string, undo bool) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	id, err := box.Add(ctx, tx, "placed", placed{1}, outbox.WithKey(name[:3]), patterns.WithHeader("name", name))
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT INTO orders (id, name) VALUES ($1, $2)", id.String(), name)
	}
	if err != nil || undo {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Row 39 of the fault plan: the process that commits and relays is killed, again and again. Each order that is in the database was published, under the id that is with it there; no other was.
func TestFault39_Kill(t *testing.T) {
	t.Parallel()
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		kills = n
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db, dsn := postgres(t)
		killing(t, outbox.PostgreSQL, "pgx", db, dsn, kills)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		dsn := sqliteDSN(filepath.Join(t.TempDir(), "test.db"))
		killing(t, outbox.SQLite, "sqlite3", open(t, "sqlite3", dsn), dsn, kills)
	})
}

func killing(t *testing.T, dialect outbox.Dialect, driver string, db *sql.DB, dsn string, kills int) {
	newOutbox(t, dialect, db)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE orders (id TEXT PRIMARY KEY, name TEXT NOT NULL)")
	require.NoError(t, err)
	got := make(map[string]string) // names by id
	pull := socket.NewPull(socket.WithAck())
	endpoint, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	received := make(chan struct{})
	var duplicates int
	go func() { // ends with Close, below
		defer close(received)
		for m, err := range pull.Messages(t.Context()) {
			var e codec.Envelope
			if err != nil || !assert.NoError(t, e.Decode(m.Bytes())) {
				return
			}
			if _, twice := got[e.ID.String()]; twice {
				duplicates++
			}
			got[e.ID.String()] = e.Header("name")
		}
	}()
	for life := range kills {
		c := startChild(t, driver, dsn, endpoint, fmt.Sprint(life))
		c.until(t, 5+rand.IntN(30)) // and then at any moment
		require.NoError(t, c.cmd.Process.Kill())
		_ = c.cmd.Wait()
	}
	c := startChild(t, driver, dsn, endpoint, "last")
	c.until(t, 10)
	require.NoError(t, c.in.Close())
	c.until(t, -1)
	require.NoError(t, c.cmd.Wait())
	require.NoError(t, pull.Close())
	<-received

	rows, err := db.QueryContext(t.Context(), "SELECT id, name FROM orders")
	require.NoError(t, err)
	defer rows.Close()
	want := make(map[string]string)
	for rows.Next() {
		var id, name string
		require.NoError(t, rows.Scan(&id, &name))
		want[id] = name
	}
	require.NoError(t, rows.Err())
	assert.Greater(t, len(want), 5*kills)
	assert.Equal(t, want, got, "what was committed was published, and nothing else")
	assert.LessOrEqual(t, duplicates, kills*7, "a batch for each kill")
	t.Logf("%d orders, %d published twice", len(want), duplicates)
}

// process is one that is to be killed.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
}

func startChild(t *testing.T, told ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFault39_Child$")
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(told, "|"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &process{cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

// until reads what the process says until it has placed so many orders; all of it if n is negative.
func (p *process) until(t *testing.T, n int) {
	t.Helper()
	var other []string
	for n != 0 && p.out.Scan() {
		if p.out.Text() == "@placed" {
			n--
		} else {
			other = append(other, p.out.Text())
		}
	}
	if n > 0 {
		require.Fail(t, "the process ended", strings.Join(other, "\n"))
	}
}
