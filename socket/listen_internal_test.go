package socket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// Whoever is about to wait for what a peer acknowledges has the pump read, which left that to callers of Recv: it may be the same goroutine.
func TestListen(t *testing.T) {
	t.Parallel()
	options := []Option{WithAck(), WithManualAck(), WithSendHWM(1), WithLinger(0)}
	dealer, router := NewDealer(options...), NewRouter(options...)
	defer func() {
		_, _ = dealer.Close(), router.Close() // with what nobody acknowledged
	}()
	endpoint, err := router.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, dealer.Connect(endpoint))
	require.NoError(t, dealer.Send(sockettest.Limit(t), []byte("is not acknowledged")))
	m, err := router.Recv(sockettest.Limit(t))
	require.NoError(t, err)
	require.NoError(t, router.Send(sockettest.Limit(t), m.Frames[0], []byte("nor is this")))
	waits := map[string]struct {
		r    *receiver
		wait func(context.Context) error
	}{
		"DEALER Send":      {&dealer.receiver, func(ctx context.Context) error { return dealer.Send(ctx, []byte("no room")) }},
		"DEALER WaitAcked": {&dealer.receiver, dealer.WaitAcked},
		"ROUTER Send":      {&router.receiver, func(ctx context.Context) error { return router.Send(ctx, m.Frames[0], []byte("no room")) }},
		"ROUTER WaitAcked": {&router.receiver, router.WaitAcked},
	}
	for name, w := range waits {
		var p *pipe
		require.Eventually(t, func() bool { p = w.r.sole.Load(); return p != nil }, sockettest.Timeout, time.Millisecond)
		p.reading.Store(true) // the pump does not look by itself
		p.wish.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.wait(ctx) }()
		assert.Eventually(t, func() bool { return !p.wish.Load() }, sockettest.Timeout, time.Millisecond, name)
		p.reading.Store(false)
		p.kick()
		cancel()
		assert.ErrorIs(t, <-over, context.Canceled, name)
	}
}
