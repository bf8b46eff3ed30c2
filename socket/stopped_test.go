//go:build linux || darwin

package socket_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Row 27 of the fault plan, where a receiver's process is stopped (SIGSTOP) while it handles a message: that goes to another when the stopped one has not answered for as long
// as heartbeats allow, once, as the attempt after. When the process goes on (SIGCONT) its acknowledgement settles nothing.
func TestKill_Stopped(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, socket.WithAttempts(0), socket.WithHeartbeat(50*time.Millisecond, time.Second))
		closing(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		stopped := startChild(t, "stopped", at)
		send(t, push, "x")
		ignore := func(line) {}
		stopped.until(t, "took", 1, func(l line) { assert.Equal(t, line{"took", []uint64{1}}, l) })
		require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGSTOP))

		other := socket.NewPull(socket.WithAck(), socket.WithManualAck())
		closing(t, other)
		require.NoError(t, other.Connect(at))
		m := recv(t, other)
		assert.GreaterOrEqual(t, m.Attempt(), 2)
		require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGCONT))
		stopped.until(t, "late", 1, ignore)
		stopped.end(t, ignore)
		s := push.Stats()
		assert.Zero(t, s.Acks.AckedOut, "the acknowledgement of the first attempt is of nothing")
		assert.Error(t, push.WaitAcked(try()))
		for m.Ack() != nil { // this process was late itself
			m = recv(t, other)
		}
		require.NoError(t, push.WaitAcked(limit(t)))
		s = push.Stats()
		assert.EqualValues(t, 1, s.Acks.AckedOut)
		assert.EqualValues(t, m.Attempt()-1, s.Acks.RedeliveredOut)
	})
}

// killStopped takes a message and acknowledges it when its input has ended and its connection, too.
func killStopped(t *testing.T, endpoint string) {
	ctx := untilInputEnds(t)
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithReconnect(time.Hour, time.Hour)) // it is not to come back
	gone := make(chan struct{})
	go func() { // ends with the connection
		for e := range pull.Events(t.Context()) {
			if e.Kind == socket.Disconnected {
				close(gone)
				return
			}
		}
	}()
	require.NoError(t, pull.Connect(endpoint))
	m, err := pull.Recv(limit(t))
	require.NoError(t, err)
	say("took", uint64(m.Attempt()))
	<-gone
	assert.ErrorIs(t, m.Ack(), socket.ErrPeerGone)
	say("late")
	<-ctx.Done()
	require.NoError(t, pull.Close())
}
