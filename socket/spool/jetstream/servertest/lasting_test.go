package servertest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// changeStream changes the configuration of a stream behind the back of its spool.
func changeStream(t *testing.T, nc *nats.Conn, name string, change func(*natsjs.StreamConfig)) {
	t.Helper()
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(bounded(t), name)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	change(&config)
	_, err = js.UpdateStream(bounded(t), config)
	require.NoError(t, err)
}

// replaceStream has another stream of that name in the place of a spool's.
func replaceStream(t *testing.T, nc *nats.Conn, name string) {
	t.Helper()
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(bounded(t), name))
	_, err = js.CreateStream(bounded(t), natsjs.StreamConfig{Name: name, Subjects: []string{"meshmq.spool." + name + ".1"}})
	require.NoError(t, err)
}

// TestLastingTrouble: what keeps messages out for good ends the spool, says why, and counts what it had taken; what is safe is there to be read.
func TestLastingTrouble(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	for name, trouble := range map[string]struct {
		begin func(t *testing.T, name string)
		says  string
		is    error
	}{
		"sealed": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.Sealed = true })
		}, "sealed", nil},
		"narrow": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.MaxMsgSize = 300 })
		}, "undo what was changed", nil},
		"redirected": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.Subjects = []string{"elsewhere"} })
		}, "other subjects", nil},
		"bare": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.Metadata, c.MaxMsgSize = map[string]string{"team": "a"}, 300 })
		}, "set it again, map[mesh-id:", nil},
		"replaced": {func(t *testing.T, name string) { replaceStream(t, nc, name) }, "made anew by somebody else", spool.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, nc, name, quick)
			_, err := s.Append(bounded(t), []byte(text(1)))
			require.NoError(t, err)
			trouble.begin(t, name)
			for n := uint64(2); n <= 3; n++ { // what is said against the second, which the stream would take, is not why
				number, err := s.Enqueue(bounded(t), make([]byte, 1000*(3-n)))
				require.NoError(t, err)
				assert.Equal(t, n, number)
			}
			err = s.Flush(bounded(t))
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorContains(t, err, trouble.says)
			require.ErrorContains(t, err, "2 messages are not confirmed")
			if trouble.is != nil {
				require.ErrorIs(t, err, trouble.is)
			}
			for n := uint64(2); n <= 3; n++ {
				require.ErrorIs(t, s.Wait(bounded(t), n), spool.ErrFailed)
			}
			_, err = s.Append(bounded(t), []byte(text(4)))
			require.ErrorIs(t, err, spool.ErrFailed)
			state := s.State()
			assert.ErrorIs(t, state.Failed, spool.ErrFailed)
			assert.NoError(t, state.Full)
			assert.Equal(t, uint64(4), state.Next, "what was accepted stays counted")
			if trouble.is == nil {
				assert.Equal(t, text(1), string(next(t, reader(t, s, 0)).Frames[0]))
			}
			require.NoError(t, s.Close(), "everybody was told")
		})
	}
}

// TestLastingTrouble_Positions: the same of acknowledgements.
func TestLastingTrouble_Positions(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	for name, begin := range map[string]func(t *testing.T, state string){
		"sealed": func(t *testing.T, state string) {
			changeStream(t, nc, state, func(c *natsjs.StreamConfig) { c.Sealed = true })
		},
		"gone": func(t *testing.T, state string) {
			require.NoError(t, streamsOf(t, nc).DeleteStream(bounded(t), state))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, nc, name, quick)
			_, err := s.Append(bounded(t), []byte(text(1)))
			require.NoError(t, err)
			c, err := s.Consumer("", spool.Beginning())
			require.NoError(t, err)
			require.NoError(t, s.Flush(bounded(t)))
			begin(t, name+"_state")
			require.NoError(t, c.Ack(1, 1))
			err = s.Flush(bounded(t))
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorContains(t, err, name)
			require.ErrorIs(t, c.Ack(1, 1), spool.ErrFailed)
			require.NoError(t, s.Close(), "everybody was told")
		})
	}
}

// TestLastingTrouble_Payload: servers that take smaller messages than before, after a restart, end a spool that has a position of a size that they took; what it holds goes on.
func TestLastingTrouble_Payload(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	ack := open(t, nc, "ack", quick)
	c, err := ack.Consumer("", spool.Beginning())
	require.NoError(t, err)
	const count = 30_000 // of which every other one is acknowledged, and the others failed: more than 64 KiB
	for range count {
		_, err := ack.Enqueue(context.Background())
		require.NoError(t, err)
	}
	require.NoError(t, ack.Flush(bounded(t)))
	n.stop()
	n.options.MaxPayload = 64 << 10
	n.start(t)
	require.Eventually(t, func() bool { return nc.MaxPayload() == 64<<10 && nc.IsConnected() }, time.Minute, time.Millisecond)
	for i := uint64(2); i < count; i += 2 {
		require.NoError(t, c.Ack(i, i))
		_, err := c.Fail(i + 1)
		require.NoError(t, err)
	}
	err = ack.Flush(bounded(t))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.ErrorContains(t, err, "raise it again")
}

// TestBare: a spool whose stream has lost its metadata is not opened, nor taken for what may be deleted, and is what it was when that is set again.
func TestBare(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s := open(t, nc, "orders", quick)
	_, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	var was map[string]string
	changeStream(t, nc, "orders", func(c *natsjs.StreamConfig) { was, c.Metadata = c.Metadata, nil })
	_, err = jetstream.Open(bounded(t), nc, "orders", quick)
	require.ErrorIs(t, err, spool.ErrForeign)
	require.ErrorContains(t, err, "lost the metadata")
	require.NotContains(t, err.Error(), "delete")
	changeStream(t, nc, "orders", func(c *natsjs.StreamConfig) { c.Metadata = was })
	requireStored(t, open(t, nc, "orders", quick), map[uint64]string{1: text(1)})
}

// TestLastingTrouble_Socket: who sends is told, and the statistics say why.
func TestLastingTrouble_Socket(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	push := socket.NewPush(socket.WithAck(), socket.WithSpoolOn(open(t, nc, "orders", quick)))
	require.NoError(t, push.Send(bounded(t), []byte(text(1))))
	changeStream(t, nc, "orders", func(c *natsjs.StreamConfig) { c.Sealed = true })
	require.ErrorIs(t, push.Send(bounded(t), []byte(text(2))), spool.ErrFailed)
	stats := push.Stats().Spool
	require.ErrorContains(t, stats.Broken, "sealed")
	assert.Equal(t, uint64(1), stats.Messages)
	assert.Equal(t, uint64(3), stats.Next)
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	err := push.Shutdown(ctx)
	require.ErrorIs(t, err, spool.ErrFailed)
	assert.ErrorIs(t, err, socket.ErrSpooled)
}
