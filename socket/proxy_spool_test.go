package socket_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// spoolingProxy is a proxy, not running yet, from push, which keeps what is not acknowledged, to a sender with a spool.
func spoolingProxy(t *testing.T, disk spool.FS, o spool.Options) (p *socket.Proxy, push *socket.Push, front *socket.Pull, back spooledSender) {
	front, push = socket.NewPull(socket.WithAck()), socket.NewPush(socket.WithAck(), swiftRetry(), socket.WithAttempts(1))
	joinAt(t, "tcp", "front", front, push)
	back = ways["PUSH"].openFS(t, disk, o)
	t.Cleanup(func() { _ = back.Close() }) // which says what stays in the spool
	return socket.NewProxy(front, back.letterSender.(*socket.Push)), push, front, back
}

// TestProxy_EndsWithAFailedSpool, with the message that it has in hand, and rejects nothing: what the spool did not take goes to others.
func TestProxy_EndsWithAFailedSpool(t *testing.T) {
	t.Parallel()
	var fails atomic.Bool
	disk := &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
		if op == "sync" && fails.Load() {
			return errors.New("no more")
		}
		return nil
	}}
	p, push, front, _ := spoolingProxy(t, disk, spool.Options{})
	r := runProxy(t, p)
	sendLetters(t, push, 1, 10)
	require.NoError(t, push.WaitAcked(limit(t)))
	fails.Store(true)
	sendLetters(t, push, 11, 30)
	require.ErrorIs(t, r.end(t), spool.ErrFailed)
	require.ErrorIs(t, p.Run(limit(t)), spool.ErrFailed, "with the same message")
	require.ErrorIs(t, p.Drain(limit(t)), spool.ErrFailed)
	assert.Equal(t, [2]uint64{1, 11}, [2]uint64{uint64(p.Stats().Frontend.InHand), p.Stats().Frontend.MessagesIn})
	require.NoError(t, front.Close())

	other := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	require.NoError(t, push.Connect(joinAt(t, "tcp", "other", other)))
	for n := uint64(11); n <= 30; n++ {
		requireLetter(t, recv(t, other), n)
	}
	require.NoError(t, push.WaitAcked(limit(t)))
	assert.Empty(t, push.Stats().Dropped)
}

// TestProxy_WaitsForRoomInASpool that says at once that it has none.
func TestProxy_WaitsForRoomInASpool(t *testing.T) {
	t.Parallel()
	const last = 2000
	p, push, _, back := spoolingProxy(t, spooltest.NewMem(), spool.Options{Quota: fullRoom, Full: spool.Reject})
	r := runProxy(t, p)
	sending := make(chan struct{})
	go func() { // ends when all are sent, which is awaited below
		defer close(sending)
		sendLetters(t, push, 1, last)
	}()
	require.Eventually(t, func() bool { return back.Stats().Spool.Full != nil }, sockettest.Timeout, time.Millisecond)
	reaches(t, p, func(s socket.ProxyStats) bool { return s.Frontend.InHand == 1 })
	r.cancel()
	require.ErrorIs(t, r.end(t), context.Canceled)
	r = runProxy(t, p)
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	require.NoError(t, back.Connect(joinAt(t, "tcp", "back", pull)))
	for n := uint64(1); n <= last; n++ {
		requireLetter(t, recv(t, pull), n)
	}
	<-sending
	require.NoError(t, push.WaitAcked(limit(t)))
	assert.Empty(t, push.Stats().Dropped)
	assert.Zero(t, p.Stats().Refused+p.Stats().Unroutable)
	p.Terminate()
	assert.NoError(t, r.end(t))
}
