package socket_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Who guesses is not asked any more.
func TestAuth_DenialLimit(t *testing.T) {
	t.Parallel()
	var asked int // by one connection after the other
	auth := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { asked++; return socket.Verdict{} })
	pull := socket.NewPull(socket.WithAuthenticator(auth), socket.WithDenialLimit(2, time.Hour))
	push := socket.NewPush(swift())
	closing(t, pull, push)
	failed := watch(t, pull)
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	for range 2 {
		assert.NotErrorIs(t, failed(socket.HandshakeFailed).Err, socket.ErrRefused)
	}
	err := failed(socket.HandshakeFailed).Err
	assert.ErrorIs(t, err, socket.ErrRefused)
	assert.ErrorContains(t, err, "2 peers from 127.0.0.1 were denied within 1h0m0s (WithDenialLimit)")
	require.NoError(t, push.Close())
	require.NoError(t, pull.Close())
	assert.Equal(t, 2, asked)
}

// A CURVE client that has another server key than ours is one that guesses, though no authenticator hears of it.
func TestAuth_DenialLimitOfWrongKeys(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	auth := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { asked.Add(1); return socket.Verdict{} })
	pull := socket.NewPull(socket.WithCurveServer(socket.NewKeyPair()), socket.WithAuthenticator(auth), socket.WithDenialLimit(2, time.Hour))
	push := socket.NewPush(socket.WithCurveClient(socket.NewKeyPair(), socket.NewKeyPair().Public), swift())
	closing(t, pull, push)
	failed := watch(t, pull)
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	for range 2 {
		assert.Equal(t, socket.RefusedKey, failed(socket.HandshakeFailed).Refusal)
	}
	assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, "2 peers from 127.0.0.1 were denied within 1h0m0s (WithDenialLimit)")
	assert.Zero(t, asked.Load())
}

// Nor who has opened connections for all guesses before the first of them.
func TestAuth_DenialLimitOfManyAtOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	auth := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { asked.Add(1); return socket.Verdict{} })
	pull := socket.NewPull(socket.WithAuthenticator(auth), socket.WithDenialLimit(2, time.Hour))
	closing(t, pull)
	bound := bind(t, pull, "tcp://127.0.0.1:0")
	guesses := make([]*sockettest.RawPeer, 6)
	for i := range guesses {
		guesses[i] = sockettest.DialRaw(t, bound)
		guesses[i].SendGreeting(1, "NULL")
		guesses[i].ReadGreeting()
	}
	for _, p := range guesses {
		tell(p, ready("PUSH"))
	}
	assert.EqualValues(t, 2, asked.Load())
	require.Eventually(t, func() bool {
		refused := pull.Stats().Refused
		return refused[socket.RefusedDenied] == 2 && refused[socket.RefusedDeferred] == 4
	}, sockettest.Timeout, time.Millisecond)
}
