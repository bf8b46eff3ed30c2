//go:build linux || darwin

package socket_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// poisonLife marks the letter that ends the process which handles it.
const poisonLife = 666

// killVictim handles letters until one has the system end the process, as one that runs out of memory would be.
func killVictim(t *testing.T, endpoint string) {
	ctx := untilInputEnds(t)
	pull := socket.NewPull(socket.WithAck(), swift())
	require.NoError(t, pull.Connect(endpoint))
	for m, err := range pull.Messages(ctx) {
		if err != nil {
			break
		}
		number, life, _ := openLetter(m.Bytes())
		if life == poisonLife {
			say("poisoned", number, uint64(m.Attempt()))
			require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		}
		say("handled", number, life, lifeOf(m))
	}
	require.NoError(t, pull.Close())
}

// A message that kills each process that gets it ends as a dead letter, however many others were with it: all of those are handled. The sender
// is started anew meanwhile, and counts on.
func TestKill_AMessageThatKillsItsReceivers(t *testing.T) {
	t.Parallel()
	const messages, poison, limitOf = 60, 7, 3
	letters := make(chan socket.DeadLetter, messages)
	at, dir := unused(t), filepath.Join(t.TempDir(), "spool")
	open := func() *socket.Push {
		push := spooled(t, dir, socket.WithAttempts(limitOf), swiftRetry(), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		_, err := rebind(push, at)
		require.NoError(t, err)
		return push
	}
	push := open()
	o := newOracle(t)
	for n := uint64(1); n <= messages; n++ {
		life := uint64(1)
		if n == poison {
			life = poisonLife
		}
		require.NoError(t, push.Send(limit(t), letter(n, life)))
	}
	var dead *socket.DeadLetter
	for deaths := 0; dead == nil; {
		victim := startChild(t, "victim", at)
		over := victim.listen(o.hear)
		select {
		case <-over:
			require.Error(t, victim.cmd.Wait(), "nothing else ends it")
			deaths++
			require.LessOrEqual(t, deaths, limitOf+1, "it is delivered again and again")
		case d := <-letters: // the victim before was the last one
			dead = &d
			_ = victim.in.Close()
			<-over
			_ = victim.cmd.Wait()
		}
		if deaths == 2 && dead == nil { // the sender has two lives, which count together
			require.Eventually(t, func() bool { return push.Stats().Spool.InFlight == 0 }, sockettest.Timeout, time.Millisecond)
			require.ErrorIs(t, push.Close(), socket.ErrSpooled)
			push = open()
		}
	}
	closing(t, push)
	last := startChild(t, "victim", at)
	over := last.listen(o.hear)
	require.NoError(t, push.WaitAcked(limit(t)))
	require.NoError(t, last.in.Close())
	<-over
	require.NoError(t, last.cmd.Wait())
	assert.EqualValues(t, poison, dead.Number)
	assert.Contains(t, dead.Reason, "the connection ended while the receiver had this message and no other")
	assert.Empty(t, letters)
	o.mu.Lock()
	defer o.mu.Unlock()
	assert.Len(t, o.handled, messages-1, "all others are handled")
}
