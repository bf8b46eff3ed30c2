package socket_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestSpool_SaysWhatMayComeAgain: a message that a sender finds in its spool may have been received from the sender before it, and says so. What is
// sent now, or to a name that was not there before, does not.
func TestSpool_SaysWhatMayComeAgain(t *testing.T) {
	t.Parallel()
	requireAttempts := func(t *testing.T, from recver, attempts ...int) {
		for i, want := range attempts {
			m := recv(t, from)
			require.Equal(t, [2]any{want, want > 1}, [2]any{m.Attempt(), m.Redelivered()}, "message %d", i)
		}
	}
	t.Run("PUSH", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "spool")
		for life := range 2 {
			push := spooled(t, dir, socket.WithAck())
			endpoint := bind(t, push, "tcp://127.0.0.1:0")
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
			require.NoError(t, pull.Connect(endpoint))
			send(t, push, "new")
			if life == 0 {
				requireAttempts(t, pull, 1)
			} else {
				requireAttempts(t, pull, 2, 1)
			}
			require.NoError(t, pull.Close())
			require.ErrorIs(t, push.Close(), socket.ErrSpooled)
		}
	})
	t.Run("PUB", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "log")
		for life := range 2 {
			pub, endpoint := logged(t, dir)
			publish(t, pub, life, life+1)
			old := durable(t, endpoint, "old", spool.Beginning(), socket.WithManualAck())
			if life == 0 {
				requireAttempts(t, old, 1)
			} else {
				requireAttempts(t, old, 2, 1)
				other := durable(t, endpoint, "other", spool.Beginning(), socket.WithManualAck())
				requireAttempts(t, other, 1, 1)
				assert.NoError(t, other.Close())
			}
			require.NoError(t, old.Close())
			require.NoError(t, pub.Close())
		}
	})
}
