package socket_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What Recv returns is the caller's to change, also where large bodies are passed on within the process: neither what was
// given to Send nor what another subscriber gets is the same memory.
func TestRecv_LargeBodiesAreTheCallers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const size = 200 << 10
		pub := socket.NewPub()
		closing(t, pub)
		endpoint := bind(t, pub, fresh(t, transport))
		subs := []*socket.Sub{socket.NewSub(), socket.NewSub()}
		for _, sub := range subs {
			closing(t, sub)
			require.NoError(t, sub.Subscribe(""))
			require.NoError(t, sub.Connect(endpoint))
		}
		require.NoError(t, pub.WaitSubscribers(limit(t), "", len(subs)))
		body := bytes.Repeat([]byte("a"), size)
		require.NoError(t, pub.Send(limit(t), []byte("topic"), body, []byte("tail")))
		clear(body)
		for _, sub := range subs {
			m := recv(t, sub)
			require.Len(t, m.Frames, 3)
			assert.True(t, bytes.Equal(bytes.Repeat([]byte("a"), size), m.Frames[1]))
			assert.Equal(t, "tail", m.String())
			assert.Equal(t, size, cap(m.Frames[1]), "appending to a frame must not touch what is not its own")
			clear(m.Frames[1])
		}
	})
}
