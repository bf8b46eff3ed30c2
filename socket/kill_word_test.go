//go:build linux || darwin

package socket_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Row 1 at the worst moment: a sender is killed by what follows WaitSpooled, or Flush, before anything else is written. What the first has confirmed is there, and is handled, and what
// the second has confirmed to be handled does not come again.
func TestKill_SenderAtItsWord(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := filepath.Join(t.TempDir(), "spool"), newOracle(t), kills(6)
		o.most = killCredit + killRecent
		receiver := w.receiver(socket.WithAckCredit(killCredit, 1<<20), socket.WithAckDelay(0))
		closing(t, receiver)
		endpoint := bind(t, receiver, "tcp://127.0.0.1:0")
		go o.steady(receiver) // ends with the test, or Close
		for i := range n {
			sender := startChild(t, "word", name, dir, endpoint, fmt.Sprint(i))
			sender.until(t, []string{"receipt", "settled"}[i%2], 1, o.hear)
			require.Error(t, sender.rest(o.hear))
			_ = sender.in.Close()
		}
		sender := startChild(t, "send", name, dir, endpoint, fmt.Sprint(n))
		sender.until(t, "receipt", 1, o.hear)
		sender.end(t, o.hear)
		o.checkLives(0)
		o.check(o.unknown)
		w.requireDrained(t, dir)
	})
}

// killWord sends letters and ends at once when it has said that they are in the spool, or, in every other life, that all are handled.
func killWord(t *testing.T, w way, dir, endpoint, life string) {
	whose, err := strconv.ParseUint(life, 10, 64)
	require.NoError(t, err)
	s := w.open(t, dir, socket.WithProperty(lifeProperty, life))
	n := s.log.Next()
	say("open", floorOf(s.log), n, whose)
	for end := n + killBatch; n < end; n++ {
		_, err := s.Enqueue(t.Context(), letter(n, whose))
		require.NoError(t, err)
	}
	require.NoError(t, s.WaitSpooled(t.Context(), n-1))
	say("receipt", n-1)
	if whose%2 == 0 {
		die()
	}
	require.NoError(t, s.Connect(endpoint))
	require.NoError(t, s.waitSettled(limit(t), n-1))
	require.NoError(t, s.Flush(t.Context()))
	say("settled", n-1)
	die()
}
