package servertest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

const narrow = 64 << 10 // max_payload of servers that took 1 MiB before

// startNarrow starts a server that was stopped as one that takes less.
func startNarrow(t *testing.T, n *node, nc *nats.Conn) {
	t.Helper()
	n.options.MaxPayload = narrow
	n.start(t)
	require.Eventually(t, func() bool { return nc.MaxPayload() == narrow && nc.IsConnected() || nc.IsClosed() }, time.Minute, time.Millisecond)
	require.False(t, nc.IsClosed(), "the servers have shut it out")
}

func requireTooLarge(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, spool.ErrTooLarge)
	require.NotErrorIs(t, err, spool.ErrFailed)
	require.ErrorContains(t, err, "raise max_payload of the servers")
}

// TestPayload_WhileAway: messages that were given to a spool while its servers were away, and that are too large for those that come back, are refused as they are with servers there;
// those behind them go, at the numbers they were told, and nobody reads what keeps the places of the others.
func TestPayload_WhileAway(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", quick)
	_, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	n.stop()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, time.Minute, time.Millisecond)
	for number := uint64(2); number <= 5; number++ {
		body := []byte(text(number))
		if number%2 == 0 {
			body = make([]byte, 200<<10)
		}
		got, err := s.Enqueue(bounded(t), body)
		require.NoError(t, err)
		require.Equal(t, number, got)
	}
	appended := make(chan error)
	go func() { // ends with its limit
		number, err := s.Append(bounded(t), make([]byte, 200<<10))
		assert.Zero(t, number)
		appended <- err
	}()
	require.Eventually(t, func() bool { return s.State().Next == 7 }, time.Minute, time.Millisecond)
	startNarrow(t, n, nc)

	requireTooLarge(t, s.Wait(bounded(t), 2))
	require.NoError(t, s.Wait(bounded(t), 3))
	requireTooLarge(t, <-appended)
	err = s.Flush(bounded(t))
	requireTooLarge(t, err)
	require.ErrorContains(t, err, "message 2: ")
	require.ErrorContains(t, err, "message 4: ")
	require.NotContains(t, err.Error(), "message 6: ", "which its sender was told")
	require.NoError(t, s.Flush(bounded(t)), "all is told")
	requireTooLarge(t, s.Wait(bounded(t), 4))
	_, err = s.Append(bounded(t), make([]byte, 200<<10))
	requireTooLarge(t, err)
	number, err := s.Append(bounded(t), []byte(text(7)))
	require.NoError(t, err)
	require.Equal(t, uint64(7), number)

	for range 2 {
		r := reader(t, s, 0)
		for _, number := range []uint64{1, 3, 5, 7} {
			rec := next(t, r)
			require.Equal(t, number, rec.Number)
			require.Equal(t, text(number), string(rec.Frames[0]))
		}
		c, err := s.Consumer("", spool.Beginning())
		require.NoError(t, err)
		_, pending := c.Position()
		require.Equal(t, uint64(4), pending)
		require.NoError(t, s.Close())
		s = open(t, nc, "orders", quick)
	}
}

// TestPayload_OnItsWay: so is a message that was on its way when the servers that took it went.
func TestPayload_OnItsWay(t *testing.T) {
	t.Parallel()
	n, wall := startNode(t, nil), newPartition()
	nc := connect(t, n, nats.SetCustomDialer(wall))
	t.Cleanup(wall.open)
	s := open(t, nc, "orders", hasty)
	wall.shut()
	for number := range uint64(2) {
		_, err := s.Enqueue(bounded(t), make([]byte, (1-number)*200<<10))
		require.NoError(t, err)
	}
	n.stop()
	wall.open()
	startNarrow(t, n, nc)
	err := s.Wait(bounded(t), 1)
	requireTooLarge(t, err)
	require.ErrorContains(t, err, "it may be in the spool")
	require.NoError(t, s.Wait(bounded(t), 2))
	requireTooLarge(t, s.Close())
}

// TestPayload_Letter: a dead letter that was on its way meanwhile is refused as well, and does not end the connection.
func TestPayload_Letter(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", jetstream.Options{Patience: time.Minute})
	_, err := s.Append(bounded(t), make([]byte, 200<<10))
	require.NoError(t, err)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	rec := next(t, reader(t, s, 0))
	n.stop()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, time.Minute, time.Millisecond)
	buried := make(chan error)
	go func() { buried <- c.Bury(bounded(t), rec, "bad") }() // ends with the patience of the spool
	startNarrow(t, n, nc)
	requireTooLarge(t, <-buried)
	require.NoError(t, c.Ack(1, 1))
	require.NoError(t, s.Flush(bounded(t)))
}

// TestPayload_OfPub: who subscribes for good is not refused for a message that became too large, and the publisher's Flush tells of that as if nobody had come.
func TestPayload_OfPub(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "events", topic)
	pub := socket.NewPub(socket.WithSpoolOn(s))
	t.Cleanup(func() { _ = pub.Close() })
	at, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	n.stop()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, time.Minute, time.Millisecond)
	_, err = pub.Enqueue(bounded(t), []byte("message"), make([]byte, 200<<10))
	require.NoError(t, err)
	startNarrow(t, n, nc)
	requireTooLarge(t, s.Wait(bounded(t), 1))
	sub := subscriber(t, at, "audit", spool.Beginning())
	require.Eventually(t, func() bool { return len(pub.Durables()) == 1 }, time.Minute, time.Millisecond)
	publish(t, pub, 2, 3)
	handle(t, sub, 2, 3)
	requireTooLarge(t, pub.Flush(bounded(t)))
	require.NoError(t, pub.Flush(bounded(t)), "all is told")
}

// TestPayload_Misconfigured: servers that take less than Open asks for have what they take. The rest is not given up for them, and goes when they are set right.
func TestPayload_Misconfigured(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", hasty)
	n.stop()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, time.Minute, time.Millisecond)
	for number := range uint64(2) {
		_, err := s.Enqueue(bounded(t), append([]byte(text(number+1)), make([]byte, number*200<<10)...))
		require.NoError(t, err)
	}
	n.options.MaxPayload = 4096
	n.start(t)
	require.NoError(t, s.Wait(bounded(t), 1))
	number, err := s.Enqueue(bounded(t), []byte(text(3)))
	require.NoError(t, err)
	n.stop()
	n.options.MaxPayload = 1 << 20
	n.start(t)
	require.NoError(t, s.Wait(bounded(t), 2))
	require.NoError(t, s.Wait(bounded(t), number))
	require.NoError(t, s.Flush(bounded(t)))
	require.Contains(t, string(next(t, reader(t, s, 0)).Frames[0]), text(1))
}

// TestPayload_Counts: what keeps the place of a message that became too large is no message that waits, though nobody is there to read it. Who waits for acknowledgements does not take
// from Flush what that has to tell.
func TestPayload_Counts(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", hasty)
	push := socket.NewPush(socket.WithSpoolOn(s))
	t.Cleanup(func() { _ = push.Close() })
	n.stop()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, time.Minute, time.Millisecond)
	_, err := push.Enqueue(bounded(t), make([]byte, 200<<10))
	require.NoError(t, err)
	startNarrow(t, n, nc)
	requireTooLarge(t, s.Wait(bounded(t), 1))
	_, err = s.Append(bounded(t), []byte(text(2))) // behind its place
	require.NoError(t, err)
	require.Equal(t, uint64(1), push.Stats().Spool.Messages)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, c.Ack(2, 2))
	require.NoError(t, push.WaitAcked(bounded(t)))
	requireTooLarge(t, push.Flush(bounded(t)))
}
