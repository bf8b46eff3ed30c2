package servertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// counting is a consumer that says what is there without asking anybody.
type counting interface {
	socket.SpoolConsumer
	Pending() uint64
	Oldest() time.Time
}

// TestCounts_AtOnce: what this process has done is counted when the call returns, whether the servers can be asked or not.
func TestCounts_AtOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	s := open(t, connect(t, n), "orders", quick)
	at, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	c := at.(counting)
	for number := uint64(1); number <= 10; number++ {
		_, err := s.Append(bounded(t), []byte(text(number)))
		require.NoError(t, err)
		require.Equal(t, number, c.Pending())
	}
	rec := next(t, reader(t, s, 0))
	require.NoError(t, c.Bury(bounded(t), rec, "bad"))
	require.Equal(t, uint64(9), c.Pending())
	n.stop()
	require.NoError(t, c.Ack(5, 6))
	require.Equal(t, uint64(7), c.Pending())
	_, err = c.Fail(7)
	require.NoError(t, err)
	require.Equal(t, uint64(7), c.Pending())
	require.NoError(t, c.Ack(1, 10))
	require.Zero(t, c.Pending())
	require.Zero(t, c.Oldest())
	n.start(t)
}

// TestOldest_AmongConsumers: the oldest message that waits for receivers is not one that they have had, which another consumer keeps on the servers.
func TestOldest_AmongConsumers(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, startNode(t, nil)), "orders", quick)
	at, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	c := at.(counting)
	_, err = s.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	for number := uint64(1); number <= 2; number++ {
		_, err := s.Append(bounded(t), []byte(text(number)))
		require.NoError(t, err)
	}
	r := reader(t, s, 0)
	for number := uint64(1); number <= 3; number++ {
		if number == 3 { // when all is acknowledged
			_, err := s.Append(bounded(t), []byte(text(number)))
			require.NoError(t, err)
		}
		rec := next(t, r)
		require.Eventually(t, func() bool { return c.Oldest().Equal(rec.Time) }, time.Minute, time.Millisecond, "message %d", number)
		require.NoError(t, c.Ack(number, number))
	}
	assert.Zero(t, c.Oldest())
}
