package socket_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestFiles_NoneStayOpen: who opens and closes spools, logs and windows again and again, with traffic and dead letters, has no file or connection more open, and no goroutine more, than
// before: 40 times, or 200 with SOAK (make soak). Nor has who is refused, as often for each reason. It is not parallel: those of the whole process are counted.
func TestFiles_NoneStayOpen(t *testing.T) {
	openAndClose(t, t.TempDir()) // what a process opens once for all, as to wait for connections, is there afterwards
	requireNoneStay(t, func(t *testing.T) (again func()) {
		dir := t.TempDir()
		return func() { openAndClose(t, dir) }
	})
	for name, refused := range refusals {
		t.Run(name, func(t *testing.T) {
			requireNoneStay(t, func(t *testing.T) (again func()) {
				dir := filepath.Join(t.TempDir(), "spool")
				log, err := spool.Open(dir, spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Policy: spool.OS})
				require.NoError(t, err)
				t.Cleanup(func() { _ = log.Close() })
				if refused.spoil != nil {
					require.NoError(t, log.Close())
					require.NoError(t, refused.spoil(filepath.Join(dir, fmt.Sprintf("%020d.seg", 1))))
				}
				return func() { openRefused(t, dir, refused.why) }
			})
		})
	}
}

// refusals are why a topic is not opened as a queue, and what was done to its only segment for that, when it was closed; nil: it is open.
var refusals = map[string]struct {
	why   error
	spoil func(segment string) error
}{
	"in use":          {spool.ErrInUse, nil},
	"of another kind": {spool.ErrKind, func(string) error { return nil }},
	"of another version": {spool.ErrVersion, func(segment string) error {
		b, err := os.ReadFile(segment)
		return errors.Join(err, os.WriteFile(segment, bytes.ReplaceAll(b, b[:7], append(slices.Clone(b[:6]), 99)), 0o600)) // both copies
	}},
	"damaged":    {spool.ErrDamaged, func(segment string) error { return os.WriteFile(segment, make([]byte, 64<<10), 0o600) }},
	"unreadable": {spool.ErrNotRegular, func(segment string) error { return errors.Join(os.Remove(segment), os.Mkdir(segment, 0o700)) }},
}

// openRefused wants a directory to be refused, by all that could open it.
func openRefused(t *testing.T, dir string, why error) {
	_, err := spool.Open(dir, smallSpool)
	require.ErrorIs(t, err, why)
	_, err = spool.OpenWindow(dir, spool.WindowOptions{})
	require.Error(t, err)
	for _, s := range []connector{socket.NewPush(socket.WithSpool(dir, smallSpool)), socket.NewPull(socket.WithAck(), socket.WithWindow(dir, spool.WindowOptions{}))} {
		_, err := s.Bind("tcp://127.0.0.1:0")
		require.ErrorIs(t, err, socket.ErrOption)
		_ = s.Close() // of what was never usable
	}
}

// requireNoneStay does something again and again, ten at a time: afterwards no file is open that was not before, and there is no goroutine more.
func requireNoneStay(t *testing.T, some func(t *testing.T) (again func())) {
	t.Helper()
	times := 4
	if os.Getenv("SOAK") != "" {
		times = 20
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it closes files that nobody has closed
	files, goroutines := openFiles(), runtime.NumGoroutine()
	t.Run("again and again", func(t *testing.T) {
		for range 10 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				again := some(t)
				for range times {
					again()
				}
			})
		}
	})
	assert.LessOrEqual(t, openFiles(), files)
	for end := time.Now().Add(sockettest.Timeout); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		runtime.Gosched() // those of t.Run have ended but for their last steps
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
}

// openAndClose has a PUSH with a spool and a PUB with a log send to receivers with windows, which refuse a message.
func openAndClose(t *testing.T, dir string) {
	window := func(name string) socket.Option {
		return socket.WithWindow(filepath.Join(dir, name), spool.WindowOptions{Count: 10, SegmentSize: 64 << 10, Policy: spool.OS})
	}
	retention := func(kind spool.Kind) spool.Options {
		o := spool.Options{Kind: kind, SegmentSize: 64 << 10, Policy: spool.OS}
		if kind == spool.Topic {
			o.Retention.Count = 10
		}
		return o
	}
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), window("pull"))
	push := socket.NewPush(socket.WithSpool(filepath.Join(dir, "spool"), retention(spool.Queue)), socket.WithAck(), swift())
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	pub := socket.NewPub(socket.WithSpool(filepath.Join(dir, "log"), retention(spool.Topic)))
	sub := durable(t, bind(t, pub, "tcp://127.0.0.1:0"), "jobs", spool.Beginning(), socket.WithManualAck(), window("sub"))
	for _, end := range []struct {
		from interface {
			sender
			Stats() socket.Stats
		}
		to recver
	}{{push, pull}, {pub, sub}} {
		before := end.from.Stats().Spool
		send(t, end.from, "t", "handled")
		send(t, end.from, "t", "refused")
		requireMsg(t, recvAck(t, end.to), "t", "handled")
		m := recv(t, end.to)
		requireMsg(t, m, "t", "refused")
		require.NoError(t, m.Nack(socket.Reject("not now")))
		require.Eventually(t, func() bool { return end.from.Stats().Spool.DeadLettered == before.DeadLettered+1 }, sockettest.Timeout, time.Millisecond)
	}
	require.NoError(t, push.WaitAcked(limit(t)))
	require.NoError(t, pub.WaitAcked(limit(t)))
	for _, s := range []interface{ Close() error }{push, pull, pub, sub} {
		require.NoError(t, s.Close())
	}
}

// recvAck is recv of a message that is handled.
func recvAck(t *testing.T, s recver) socket.Msg {
	t.Helper()
	m := recv(t, s)
	require.NoError(t, m.Ack())
	return m
}
