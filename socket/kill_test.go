//go:build linux || darwin

package socket_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// What the processes of the tests here do. From credit and killStride follows how many messages may come twice.
const (
	killCredit = 50
	killBatch  = 16  // messages to a receipt
	killStride = 256 // messages after which a sender waits until all are settled, durably
	unsettled  = killStride + killBatch
)

// TestKill_Child is the process that the tests here kill.
func TestKill_Child(t *testing.T) {
	told := strings.Split(os.Getenv(childEnv), "|")
	switch told[0] {
	case "push":
		killPush(t, told[1], told[2], told[3])
	case "pull":
		killPull(t, told[1], told[2], told[3])
	case "victim":
		killVictim(t, told[1])
	case "open":
		say("opening")
		push := spooled(t, told[1])
		say("open", 0, push.Stats().Spool.Next)
		<-untilInputEnds(t).Done()
	case "stopped":
		killStopped(t, told[1])
	case "terminate":
		killTerminate(t, told[1], told[2])
	default:
		t.Skip("runs as a child of others")
	}
}

// killPush sends letters from a spool until its input ends, and then waits until all are settled. Every other batch ends with Send, the
// others with WaitSpooled.
func killPush(t *testing.T, dir, endpoint, life string) {
	ctx := untilInputEnds(t)
	whose, err := strconv.ParseUint(life, 10, 64)
	require.NoError(t, err)
	log, err := spool.Open(dir, smallSpool)
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	say("open", log.Queue().Floor(), log.Next())
	n := log.Next()
	push := socket.NewPush(socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithAck(), socket.WithAttempts(0), swiftRetry(), swift())
	require.NoError(t, push.Connect(endpoint))
	for batch := 0; ctx.Err() == nil; batch++ {
		for range killBatch - 1 {
			number, err := push.Enqueue(t.Context(), letter(n, whose))
			require.NoError(t, err)
			require.Equal(t, n, number)
			n++
		}
		require.NoError(t, push.WaitSpooled(t.Context(), n-1))
		require.NoError(t, push.Send(t.Context(), letter(n, whose)))
		say("receipt", n)
		n++
		if (batch+1)%(killStride/killBatch) == 0 && push.WaitAcked(ctx) == nil {
			require.NoError(t, push.Flush(t.Context()))
			say("settled", n-1)
		}
	}
	require.NoError(t, push.WaitAcked(limit(t))) // with a receiver that may be about to start
	require.NoError(t, push.Shutdown(limit(t)))
}

// killPull handles letters, which is to tell of them, until its input ends. It does not ask for the next when it has handled as many as it is told.
func killPull(t *testing.T, way, endpoint, enough string) {
	ctx := untilInputEnds(t)
	stop, err := strconv.Atoi(enough)
	require.NoError(t, err)
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(killCredit, 1<<20), swift())
	if way == "bind" {
		_, err = rebind(pull, endpoint)
	} else {
		err = pull.Connect(endpoint)
	}
	require.NoError(t, err)
	for m, err := range pull.Messages(ctx) {
		if err != nil {
			break
		}
		number, life, whole := openLetter(m.Bytes())
		if mark, ok := m.Mark(); !whole || !ok || mark.Number != number {
			say("broken")
		}
		say("handled", number, life)
		if stop--; stop == 0 {
			<-t.Context().Done() // it is killed here: after the handler, before the acknowledgement
		}
	}
	require.NoError(t, pull.Close())
}

// steady handles what comes until the test ends.
func (o *oracle) steady(pull *socket.Pull) {
	for m := range pull.Messages(o.t.Context()) {
		number, life, whole := openLetter(m.Bytes())
		mark, ok := m.Mark()
		assert.True(o.t, whole && ok && mark.Number == number, "message %d", number)
		o.handle(number, life)
	}
}

// Row 1 of the fault plan: a sender is killed while it sends. What it was promised arrives, in order; again come at most those that were not known to be
// handled.
func TestKill_Sender(t *testing.T) {
	t.Parallel()
	dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(4)
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(killCredit, 1<<20))
	closing(t, pull)
	endpoint := bind(t, pull, "tcp://127.0.0.1:0")
	go o.steady(pull) // ends with the test, or Close
	for i := range n {
		push := startChild(t, "push", dir, endpoint, fmt.Sprint(i))
		push.until(t, "receipt", 1+i*7%40, o.hear)
		push.kill(t, o.hear)
	}
	push := startChild(t, "push", dir, endpoint, fmt.Sprint(n))
	push.until(t, "receipt", 1, o.hear)
	push.end(t, o.hear)
	o.check(n*unsettled, 0)
	requireDrained(t, dir)
}

// Row 2: a receiver is killed when it has handled messages, before they are acknowledged, or at any moment. Others get them; each kill costs no more
// duplicates than the credit, and puts one message out of its order at most: the one that was on its way in part.
func TestKill_Receiver(t *testing.T) {
	t.Parallel()
	dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(4)
	push := spooled(t, dir, socket.WithAck(), socket.WithAttempts(0), swiftRetry())
	closing(t, push)
	endpoint := bind(t, push, "tcp://127.0.0.1:0")
	number := uint64(0)
	for i := range n {
		for range 60 {
			number++
			require.NoError(t, push.Send(limit(t), letter(number, 0)))
			o.hear(line{"receipt", []uint64{number}})
		}
		handle := 1 + i*17%60
		stop := handle * (i % 2) // 0: it goes on
		pull := startChild(t, "pull", "connect", endpoint, fmt.Sprint(stop))
		pull.until(t, "handled", handle, o.hear)
		pull.kill(t, o.hear)
	}
	pull := startChild(t, "pull", "connect", endpoint, "0")
	told := pull.listen(o.hear)
	require.NoError(t, push.WaitAcked(limit(t)))
	pull.end(t, o.hear)
	<-told
	o.check(n*killCredit, n)
	require.NoError(t, push.Shutdown(limit(t)))
	requireDrained(t, dir)
}

// Row 3: sender, receiver or both are killed at any moment.
func TestKill_Both(t *testing.T) {
	t.Parallel()
	dir, o, n, endpoint := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(5), unused(t)
	startPush := func(i int) *child { return startChild(t, "push", dir, endpoint, fmt.Sprint(i)) }
	startPull := func() *child { return startChild(t, "pull", "bind", endpoint, "0") }
	push, pull, senders, receivers := startPush(0), startPull(), 0, 0
	for i := range n {
		pull.until(t, "handled", 20+i*31%200, o.hear)
		if i%3 != 1 {
			senders++
			push.kill(t, o.hear)
			push = startPush(senders)
		}
		if i%3 != 0 {
			receivers++
			pull.kill(t, o.hear)
			pull = startPull()
		}
	}
	push.until(t, "receipt", 1, o.hear)
	told := pull.listen(o.hear)
	push.end(t, o.hear)
	pull.end(t, o.hear)
	<-told
	o.check(senders*unsettled+receivers*killCredit, senders+receivers)
	requireDrained(t, dir)
}

// Row 4: a sender is killed, and the next ones while they open its spool. Whoever opens it in the end finds what the first would have found.
func TestKill_InRecovery(t *testing.T) {
	t.Parallel()
	dir, within := filepath.Join(t.TempDir(), "spool"), 0
	n, took, next := kills(3), time.Duration(0), uint64(0)
	o := newOracle(t)
	for i := 0; i < n; {
		push := startChild(t, "push", dir, "tcp://127.0.0.1:1", fmt.Sprint(i)) // where nobody is
		push.until(t, "receipt", 1+i%15, o.hear)
		push.kill(t, o.hear)
		copied := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		for ; i < n && (i%3 != 2 || took == 0); i++ {
			opening := startChild(t, "open", dir)
			opening.until(t, "opening", 1, func(line) {})
			begun, opened := time.Now(), false
			if took == 0 { // the first one is not killed: it shows how long that takes
				opening.until(t, "open", 1, func(line) {})
				took, opened = time.Since(begun), true
			}
			<-time.After(took * time.Duration(i*5%16) / 16) // any moment will do
			opening.kill(t, func(l line) { opened = opened || l.word == "open" })
			if !opened {
				within++
			}
		}
		i++
		next = requireSame(t, copied, dir)
		require.Greater(t, next, o.promised)
	}
	t.Logf("%d of %d were killed before they had opened the spool, which took %s; %d messages", within, n, took, next-1)
}

// requireSame opens two spools and compares what is in them.
func requireSame(t *testing.T, want, got string) (next uint64) {
	t.Helper()
	var all [2][][]byte
	for i, dir := range []string{want, got} {
		log, err := spool.Open(dir, smallSpool)
		require.NoError(t, err)
		require.Empty(t, log.Recovery().Damage)
		require.Zero(t, log.Queue().Floor())
		r := log.Queue().Reader()
		for n := uint64(1); ; n++ {
			record, err := r.TryNext()
			if n == log.Next() {
				break
			}
			require.NoError(t, err)
			require.Equal(t, n, record.Number)
			number, _, whole := openLetter(record.Frames[0])
			require.True(t, whole && number == n)
			all[i] = append(all[i], append([]byte(nil), record.Frames[0]...))
		}
		next = log.Next()
		require.NoError(t, r.Close())
		require.NoError(t, log.Close())
	}
	require.Equal(t, all[0], all[1])
	return next
}

// Row 41: SIGTERM under load, with less time to drain than that takes. The process ends in order, and what it was promised is handled or in the spool.
func TestKill_Terminated(t *testing.T) {
	t.Parallel()
	dir, o, acked := filepath.Join(t.TempDir(), "spool"), newOracle(t), uint64(0)
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(killCredit, 1<<20))
	closing(t, pull)
	push := startChild(t, "terminate", dir, bind(t, pull, "tcp://127.0.0.1:0"))
	for range killCredit / 2 { // the receiver does this much, and is then too slow
		m := recv(t, pull)
		acked, _, _ = openLetter(m.Bytes())
		require.NoError(t, m.Ack())
	}
	push.until(t, "receipt", killCredit, o.hear) // more than are handled
	left := uint64(0)
	hear := func(l line) {
		if o.hear(l); l.word == "left" {
			left = l.n[0]
		}
	}
	require.NoError(t, push.cmd.Process.Signal(syscall.SIGTERM))
	push.until(t, "left", 1, hear)
	push.end(t, hear)
	log, err := spool.Open(dir, smallSpool)
	require.NoError(t, err)
	defer log.Close()
	assert.Empty(t, log.Recovery().Damage)
	assert.Equal(t, left, log.Queue().Pending(), "what Shutdown said that it left")
	assert.LessOrEqual(t, log.Queue().Floor(), acked)
	assert.Greater(t, log.Next(), o.promised)
	assert.Equal(t, log.Next()-1-log.Queue().Floor(), left, "all that is not handled")
}

// killTerminate sends letters until SIGTERM, and gives the receiver a moment then.
func killTerminate(t *testing.T, dir, endpoint string) {
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	push := spooled(t, dir, socket.WithAck(), swift())
	require.NoError(t, push.Connect(endpoint))
	for n := uint64(1); ctx.Err() == nil; n++ {
		require.NoError(t, push.Send(t.Context(), letter(n, 0)))
		say("receipt", n)
	}
	err := push.Shutdown(soon(t))
	require.ErrorIs(t, err, socket.ErrSpooled)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var left uint64
	_, scanErr := fmt.Sscanf(err.Error(), "shutdown: messages stay in the spool: %d", &left)
	require.NoError(t, scanErr, err)
	say("left", left)
}
