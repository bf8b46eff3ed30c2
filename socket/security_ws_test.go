package socket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Over ws the mechanism is agreed upon before the greeting, and there is no way to try.
func TestCurve_OverWS(t *testing.T) {
	t.Parallel()
	server, client := curveOf()
	push, pull := socket.NewPush(client), socket.NewPull(server)
	closing(t, pull, push)
	endpoint := bind(t, pull, "ws://127.0.0.1:0/")
	require.NoError(t, push.Connect(endpoint))
	go numbered(t, push, 0, 2000, 5000)
	for i := range 2000 {
		m := recv(t, pull)
		require.Equal(t, i, ordinalOf(m))
		require.Equal(t, 5000, m.Size())
	}
	key, known := recvPeer(t, push, pull).PublicKey()
	require.True(t, known)
	require.NotZero(t, key)
}

// recvPeer returns who a message is from.
func recvPeer(t *testing.T, push *socket.Push, pull *socket.Pull) *socket.Peer {
	t.Helper()
	send(t, push, "who")
	return recv(t, pull).Peer()
}
