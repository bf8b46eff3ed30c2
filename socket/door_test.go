package socket_test

import (
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Who is silent where TLS or WebSocket is opened, below ZMTP, makes room as well.
func TestDoor_SilenceBelowZMTP(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithMaxHandshakes(2, 2), socket.WithHandshakeTimeout(0))
	closing(t, pull)
	endpoint := bind(t, pull, "ws://127.0.0.1:0/door")
	at, err := url.Parse(endpoint)
	require.NoError(t, err)
	for range 2 {
		silent, err := net.Dial("tcp", at.Host)
		require.NoError(t, err)
		defer silent.Close()
	}
	push := socket.NewPush()
	closing(t, push)
	require.NoError(t, push.Connect(endpoint))
	require.NoError(t, push.Send(limit(t), []byte("hello")))
	m, err := pull.Recv(limit(t))
	require.NoError(t, err)
	assert.Equal(t, "hello", m.String())
}
