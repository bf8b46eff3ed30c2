package servertest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// hasty are options of owners that do not wait long for others that are away.
var hasty = jetstream.Options{Patience: 500 * time.Millisecond}

// TestReplaced_WhileAway: while an owner cannot be reached, somebody deletes its spool and makes another of that name. When it is back it is told, and what it has acknowledged of its own
// messages counts for none of the others.
func TestReplaced_WhileAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(t *testing.T, n *node, wall *partition) (back func()){
		"cut off": func(_ *testing.T, _ *node, wall *partition) func() {
			wall.shut()
			return wall.open
		},
		"disconnected": func(t *testing.T, n *node, _ *partition) func() {
			port := n.options.Port
			n.stop()
			n.options.Port = server.RANDOM_PORT
			n.start(t)
			return func() {
				n.stop()
				n.options.Port = port
				n.start(t)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, wall := startNode(t, nil), newPartition()
			nc := connect(t, n, nats.SetCustomDialer(wall))
			s := open(t, nc, "orders", hasty)
			t.Cleanup(wall.open) // before s is closed, which waits for it
			c, err := s.Consumer("", spool.Beginning())
			require.NoError(t, err)
			for number := uint64(1); number <= 10; number++ {
				_, err := s.Append(bounded(t), []byte(text(number)))
				require.NoError(t, err)
			}
			require.NoError(t, s.Flush(bounded(t)))
			back := away(t, n, wall)
			require.NoError(t, c.Ack(1, 10))

			other := connect(t, n)
			js := streamsOf(t, other)
			for _, stream := range []string{"orders", "orders_state"} {
				require.NoError(t, js.DeleteStream(bounded(t), stream))
			}
			made := open(t, other, "orders", hasty)
			for number := uint64(1); number <= 10; number++ {
				_, err := made.Append(bounded(t), []byte("another"))
				require.NoError(t, err)
			}
			require.NoError(t, made.Close())
			other.Close()
			back()
			select {
			case <-s.Broken():
				require.ErrorIs(t, s.State().Failed, spool.ErrForeign)
			case <-bounded(t).Done():
				require.Fail(t, "nobody is told")
			}
			require.NoError(t, s.Close())
			require.Eventually(t, nc.IsConnected, time.Minute, time.Millisecond)
			c, err = open(t, nc, "orders", hasty).Consumer("", spool.Beginning())
			require.NoError(t, err)
			floor, pending := c.Position()
			assert.Equal(t, [2]uint64{0, 10}, [2]uint64{floor, pending})
		})
	}
}
