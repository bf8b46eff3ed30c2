//go:build linux || darwin

package socket_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestKill_Child is the process that the tests here kill.
func TestKill_Child(t *testing.T) {
	told := strings.Split(os.Getenv(childEnv), "|")
	if told[0] != "" {
		inputEnded() // whatever it does
	}
	switch told[0] {
	case "send":
		killSend(t, ways[told[1]], told[2], told[3], told[4])
	case "drain":
		killDrain(t, ways[told[1]], told[2], told[3], told[4])
	case "word":
		killWord(t, ways[told[1]], told[2], told[3], told[4])
	case "receive":
		killReceive(t, ways[told[1]], told[2], told[3], told[4], told[5:]...)
	case "victim":
		killVictim(t, told[1])
	case "open":
		killOpen(t, told[1], told[2])
	case "stopped":
		killStopped(t, told[1])
	case "mark":
		killMarking(t, ways[told[1]], told[2], told[3], told[4], told[5])
	case "lag":
		killLagging(t, ways[told[1]], told[2], told[3], told[4])
	case "step":
		killStepping(t, ways[told[1]], told[2], told[3], told[4], told[5])
	case "terminate":
		killTerminate(t, ways[told[1]], told[2], told[3])
	case "stuck":
		say("stuck")
		select {}
	default:
		t.Skip("runs as a child of others")
	}
}

// A child that is stuck ends by itself when its parent is gone, and so its input.
func TestKill_ChildrenEndWithTheirInput(t *testing.T) {
	t.Setenv(lingerEnv, "1ms")
	c := startChild(t, "stuck")
	c.until(t, "stuck", 1, func(line) {})
	require.NoError(t, c.in.Close())
	var ended *exec.ExitError
	require.ErrorAs(t, c.rest(func(line) {}), &ended)
	assert.Equal(t, childLingered, ended.ExitCode())
}

// Row 1 of the fault plan: a sender is killed while it sends. What it was promised arrives, in order; after each kill those at most come again of which the spool that is
// opened next does not know that they were handled: what was in flight, and a bounded number that was acknowledged since the spool last wrote.
func TestKill_Sender(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(4)
		o.most = killCredit + killRecent
		receiver := w.receiver(socket.WithAckCredit(killCredit, 1<<20))
		closing(t, receiver)
		endpoint := bind(t, receiver, "tcp://127.0.0.1:0")
		go o.steady(receiver) // ends with the test, or Close
		for i := range n {
			sender := startChild(t, "send", name, dir, endpoint, fmt.Sprint(i))
			sender.until(t, "receipt", 1+i*7%40, o.hear)
			sender.kill(t, o.hear)
		}
		sender := startChild(t, "send", name, dir, endpoint, fmt.Sprint(n))
		sender.until(t, "receipt", 1, o.hear)
		sender.end(t, o.hear)
		o.checkLives(0)
		o.check(o.unknown)
		w.requireDrained(t, dir)
	})
}

// Row 1 with a backlog, and a receiver that handles it as fast as it comes: however much was acknowledged in the moment before a kill, what comes again is bounded.
func TestKill_SenderWithABacklog(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(4)
		o.most = killWide + killRecent
		receiver := w.receiver(socket.WithAckCredit(killWide, 1<<20))
		closing(t, receiver)
		endpoint := bind(t, receiver, "tcp://127.0.0.1:0")
		go o.steady(receiver) // ends with the test, or Close
		for i := range n {
			sender := startChild(t, "drain", name, dir, endpoint, fmt.Sprint(i))
			sender.until(t, "receipt", 1, o.hear)
			enough := killBacklog/4 + i*997%(killBacklog/2)
			require.Eventually(t, func() bool { return o.cameFrom(uint64(i)) >= enough }, sockettest.Timeout, time.Millisecond)
			sender.kill(t, o.hear)
		}
		sender := startChild(t, "drain", name, dir, endpoint, fmt.Sprint(n))
		sender.until(t, "receipt", 1, o.hear)
		sender.end(t, o.hear)
		o.checkLives(0)
		o.check(n * o.most)
		w.requireDrained(t, dir)
	})
}

// Row 2: a receiver is killed when it has handled messages, before they are acknowledged, or at any moment. Others get them; each kill costs no more
// duplicates than the credit, and puts nothing out of order.
func TestKill_Receiver(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(4)
		sender := w.open(t, dir)
		closing(t, sender)
		endpoint := bind(t, sender, "tcp://127.0.0.1:0")
		number := uint64(0)
		for i := range n {
			for range 60 {
				number++
				require.NoError(t, sender.Send(limit(t), letter(number, 0)))
				o.hear(line{"receipt", []uint64{number}})
			}
			handle := 1 + i*17%60
			stop := handle * (i % 2) // 0: it goes on
			receiver := startChild(t, "receive", name, "connect", endpoint, fmt.Sprint(stop))
			receiver.until(t, "handled", handle, o.hear)
			receiver.kill(t, o.hear)
			sender.waitAlone(t)
			o.costs(killCredit, "a kill")
		}
		receiver := startChild(t, "receive", name, "connect", endpoint, "0")
		told := receiver.listen(o.hear)
		require.NoError(t, sender.waitSettled(limit(t), number))
		receiver.end(t, o.hear)
		<-told
		o.costs(killCredit, "the last kill")
		o.check(n * killCredit)
		require.NoError(t, sender.Shutdown(limit(t)))
		w.requireDrained(t, dir)
	})
}

// Row 3: sender, receiver or both are killed at any moment. Each life of the sender brings again what its spool does not know to be handled, at most, and each kill of the receiver
// as many as the credit.
func TestKill_Both(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n, endpoint := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(5), unused(t)
		startSender := func(i int) *child { return startChild(t, "send", name, dir, endpoint, fmt.Sprint(i)) }
		startReceiver := func() *child { return startChild(t, "receive", name, "bind", endpoint, "0") }
		o.most = killCredit + killRecent
		sender, receiver, senders, receivers := startSender(0), startReceiver(), 0, 0
		for i := range n {
			receiver.until(t, "handled", 20+i*31%200, o.hear)
			if i%3 != 1 {
				senders++
				sender.kill(t, o.hear)
				sender = startSender(senders)
			}
			if i%3 != 0 {
				receivers++
				receiver.kill(t, o.hear)
				receiver = startReceiver()
			}
		}
		sender.until(t, "receipt", 1, o.hear)
		told := receiver.listen(o.hear)
		sender.end(t, o.hear)
		receiver.end(t, o.hear)
		<-told
		o.checkLives(receivers * killCredit)
		o.check(o.unknown + receivers*killCredit)
		w.requireDrained(t, dir)
	})
}

// Row 41: SIGTERM under load, with less time to drain than that takes. The process ends in order, and what it was promised is handled or in the spool, from where it is delivered later.
func TestKill_Terminated(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, acked := filepath.Join(t.TempDir(), "spool"), newOracle(t), uint64(0)
		receiver := w.receiver(socket.WithManualAck(), socket.WithAckCredit(killCredit, 1<<20))
		closing(t, receiver)
		sender := startChild(t, "terminate", name, dir, bind(t, receiver, "tcp://127.0.0.1:0"))
		for range killCredit / 2 { // the receiver does this much, and is then too slow
			acked++
			requireLetter(t, recv(t, receiver), acked)
		}
		sender.until(t, "receipt", killCredit, o.hear) // more than are handled
		left := uint64(0)
		hear := func(l line) {
			if o.hear(l); l.word == "left" {
				left = l.n[0]
			}
		}
		require.NoError(t, sender.cmd.Process.Signal(syscall.SIGTERM))
		sender.until(t, "left", 1, hear)
		sender.end(t, hear)

		s := w.open(t, dir)
		closing(t, s)
		last, floor := s.log.Next()-1, floorOf(s.log)
		assert.LessOrEqual(t, floor, acked)
		assert.GreaterOrEqual(t, last, o.promised)
		assert.Equal(t, last-floor, left, "what was left is all that is not handled")
		w.takeLetters(t, s, bind(t, s, "tcp://127.0.0.1:0"), floor+1, last)
		require.NoError(t, s.waitSettled(limit(t), last))
		require.NoError(t, s.Shutdown(limit(t)))
		w.requireDrained(t, dir)
	})
}

// killTerminate sends letters until SIGTERM, and gives the receiver a moment then.
func killTerminate(t *testing.T, w way, dir, endpoint string) {
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	s := w.open(t, dir)
	require.NoError(t, s.Connect(endpoint))
	for n := uint64(1); ctx.Err() == nil; n++ {
		require.NoError(t, s.Send(t.Context(), letter(n, 0)))
		say("receipt", n)
	}
	require.ErrorIs(t, s.WaitAcked(soon(t)), socket.ErrTimeout)
	err, left := s.Shutdown(soon(t)), uint64(0)
	if w.kind == spool.Topic { // which waits for nobody: the log has all
		require.NoError(t, err)
		left = s.log.Stats().Consumers[0].Pending
	} else {
		require.ErrorIs(t, err, socket.ErrSpooled)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, scanErr := fmt.Sscanf(err.Error(), "shutdown: messages stay in the spool: %d", &left)
		require.NoError(t, scanErr, err)
	}
	say("left", left)
}
