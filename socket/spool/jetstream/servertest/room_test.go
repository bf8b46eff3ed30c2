package servertest

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// TestFull_Servers: where messages have used up all that the servers have, there is no room for what is acknowledged either. What is acknowledged makes room all the same.
func TestFull_Servers(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 })
	s := open(t, connect(t, n), "orders", jetstream.Options{Full: spool.Reject, Patience: quick.Patience})
	var last uint64
	for {
		number, err := s.Append(bounded(t), make([]byte, 10_000))
		if err != nil {
			require.ErrorIs(t, err, spool.ErrFull)
			break
		}
		last = number
	}
	for _, err := s.Append(bounded(t), nil); err == nil; _, err = s.Append(bounded(t), nil) { // to the last byte
		last++
	}
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, c.Ack(1, last/2))
	require.NoError(t, s.Flush(bounded(t)))
	number, err := s.Append(bounded(t), make([]byte, 10_000))
	require.NoError(t, err)
	require.Equal(t, last+1, number)
	require.NoError(t, s.Close())
}
