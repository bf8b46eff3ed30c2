package socket_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestFiles_NoneStayOpen: who opens and closes spools, logs and windows again and again, with traffic and dead letters, has no file or connection more open, and no goroutine more, than
// before: 40 times, or 200 with SOAK (make soak). It is not parallel: those of the whole process are counted.
func TestFiles_NoneStayOpen(t *testing.T) {
	openAndClose(t, t.TempDir())                     // what a process opens once for all, as to wait for connections, is there afterwards
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it closes files that nobody has closed
	files, goroutines := openFiles(), runtime.NumGoroutine()
	times := 4
	if os.Getenv("SOAK") != "" {
		times = 20
	}
	t.Run("again and again", func(t *testing.T) {
		for range 10 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				for range times {
					openAndClose(t, dir)
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
