package transport_test

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/transporttest"
)

func TestIPCAbstract(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(t testing.TB) string { return "ipc://@" + socketPath(t) })
}

// Many listeners race for a path, fresh or with a stale file: one gets it, and has not lost it to another
// that took it for stale. Other systems have no lock on folders.
func TestIPCRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	for range 50 {
		path := socketPath(t)
		leaveStale(t, path)
		for range 2 {
			won := raceToListen(t, "ipc://"+path)
			require.Len(t, won, 1)
			conn, err := dial(context.Background(), t, won[0].Endpoint())
			require.NoError(t, err)
			conn.Close()
			require.NoError(t, won[0].Close())
		}
	}
}

// Both ends of a connection notice a peer that vanished, even if the engine's heartbeats are off.
func TestTCPKeepAlive(t *testing.T) {
	t.Parallel()
	ln := listen(t, "tcp://127.0.0.1:0")
	near, err := dial(context.Background(), t, ln.Endpoint())
	require.NoError(t, err)
	defer near.Close()
	far, err := ln.Accept()
	require.NoError(t, err)
	defer far.Close()
	for _, conn := range []net.Conn{near, far} {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		get := func(level, option int) (value int) {
			require.NoError(t, raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, option) }))
			require.NoError(t, err)
			return value
		}
		assert.Equal(t, 1, get(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
		assert.Equal(t, 30, get(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
		assert.Equal(t, 1, get(syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
	}
}

func TestAbstractNameLimit(t *testing.T) {
	t.Parallel()
	longest := "ipc://@" + longPath[:106]
	ln := listen(t, longest)
	conn, err := dial(context.Background(), t, ln.Endpoint())
	require.NoError(t, err)
	conn.Close()
	_, err = transport.ParseBind(longest + "x")
	assert.ErrorIs(t, err, transport.ErrEndpoint)
}
