package socket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// slowWindow is slow to say what it has seen of messages with a body.
type slowWindow struct {
	*spool.Window
	body  uint32
	asked chan struct{} // closed when it is asked about that
	say   chan struct{} // closed when it may say
}

func (w *slowWindow) Seen(m spool.Mark) bool {
	if m.Body == w.body {
		close(w.asked)
		<-w.say
	}
	return w.Window.Seen(m)
}

// A copy of what was handled that comes while another message with its id is asked about is a duplicate, and no conflict.
func TestOnce_CopyBesideAConflict(t *testing.T) {
	t.Parallel()
	log, err := spool.OpenWindow(t.TempDir(), spool.WindowOptions{SegmentSize: 64 << 10, Policy: spool.OS})
	require.NoError(t, err)
	defer log.Close()
	slow := &slowWindow{log, sumOf([]byte("other")), make(chan struct{}), make(chan struct{})}
	pull := NewPull(WithAck(), WithManualAck(), WithWindowOn(slow), WithMessageID(func(m Msg) (string, []byte) { return "id", m.Bytes() }))
	defer pull.Close()
	at, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
	defer cancel()
	push := NewPush(WithAck())
	defer push.Close()
	require.NoError(t, push.Connect(at))

	require.NoError(t, push.Send(ctx, []byte("first")))
	m, err := pull.Recv(ctx)
	require.NoError(t, err)
	require.NoError(t, m.Ack())
	require.NoError(t, push.WaitAcked(ctx))
	require.NoError(t, push.Send(ctx, []byte("other")))
	require.NoError(t, push.Send(ctx, []byte("first")))
	receiving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	for range 2 {
		go func() { // ended by stop, awaited below
			_, err := pull.Recv(receiving)
			assert.ErrorIs(t, err, context.Canceled, "nothing is left to handle")
			ended <- struct{}{}
		}()
	}
	<-slow.asked
	q := pull.receiver.once
	require.Eventually(t, func() bool {
		q.r.mu.Lock()
		defer q.r.mu.Unlock()
		return len(q.waiting) == 1
	}, sockettest.Timeout, time.Millisecond)
	close(slow.say)
	require.NoError(t, push.WaitAcked(ctx))
	stats := pull.Stats().Acks
	assert.Equal(t, []uint64{1, 1}, []uint64{stats.ConflictsIn, stats.DuplicatesIn})
	stop()
	<-ended
	<-ended
}
