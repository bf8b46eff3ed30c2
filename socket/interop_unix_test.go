//go:build unix

package socket_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 37, 3.4: a peer that answers no PING is dead, though its host keeps the connection up. A stopped
// process is such a peer; it is found again when it goes on.
func TestInteropStoppedPeerIsDead(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := process.open(t, "PULL", nil)
	t.Cleanup(pull.close)
	push := openOwn(t, "PUSH", quick, socket.WithHeartbeat(50*time.Millisecond, 300*time.Millisecond))
	push.connect(pull.bind(freshEndpoint(t, "tcp")))
	push.awaitEvent(socket.Connected)

	require.NoError(t, process.cmd.Process.Signal(syscall.SIGSTOP))
	require.Error(t, push.awaitEvent(socket.Disconnected).Err)
	require.NoError(t, process.cmd.Process.Signal(syscall.SIGCONT))
	push.awaitEvent(socket.Connected)
	var got [][]byte
	for deadline := time.Now().Add(patience); got == nil && time.Now().Before(deadline); { // where it is too slow for heartbeats once more, what it had not taken is gone
		push.send(frames("back")...)
		got = pull.tryRecv(time.Second)
	}
	requireFrames(t, frames("back"), got)
}
