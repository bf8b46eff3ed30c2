package socket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

func TestWS_Smoke(t *testing.T) {
	push, pull := socket.NewPush(), socket.NewPull()
	closing(t, push, pull)
	ep := bind(t, pull, "ws://127.0.0.1:0/zeromq")
	require.NoError(t, push.Connect(ep))
	for _, size := range []int{0, 1, 100, 1000, 70000, 1 << 20} {
		require.NoError(t, push.Send(limit(t), text("a"), make([]byte, size)))
		m := recv(t, pull)
		require.Len(t, m.Frames, 2)
		require.Len(t, m.Frames[1], size)
	}
}
