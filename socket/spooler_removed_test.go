//go:build linux || darwin

package socket_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestSpool_RemovedUnderASocket: a spool that somebody removes has failed: who waits is told, and who sends, and one event says so. What was confirmed is delivered still.
func TestSpool_RemovedUnderASocket(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		const credit, last = 3, 10
		events, told := troubles(socket.SpoolTrouble)
		dir := filepath.Join(t.TempDir(), "spool")
		s := w.open(t, dir, told)
		r := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), socket.WithAckCredit(credit, 1<<20), swift())
		closing(t, r)
		endpoint := bind(t, s, "tcp://127.0.0.1:0")
		require.NoError(t, r.Connect(endpoint))
		sendLetters(t, s, 1, last)
		held := make([]socket.Msg, credit)
		for i := range held {
			held[i] = recv(t, r)
		}
		waits := make(chan error, 1)
		go func() { waits <- s.WaitAcked(limit(t)) }() // ends with its limit
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, sockettest.Timeout, time.Millisecond, "the log may be making a segment meanwhile")
		for _, call := range []func() error{
			func() error { return s.Send(limit(t), letter(last+1, 0)) },
			func() error { return <-waits },
			func() error { return s.Flush(limit(t)) },
		} {
			err := call()
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorContains(t, err, "removed")
		}
		require.ErrorContains(t, nextOf(t, events).Err, "removed")
		for i, m := range held {
			requireLetter(t, m, uint64(i+1))
		}
		for n := uint64(credit + 1); n <= last; n++ {
			requireLetter(t, recv(t, r), n)
		}
		require.NoError(t, r.Close())
		s.awaitEnds(t)
		require.ErrorIs(t, s.Shutdown(limit(t)), spool.ErrFailed)
		assert.Empty(t, events, "it is said once")
	})
}
