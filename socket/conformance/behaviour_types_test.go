package conformance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Behaviour 81: the types without multipart messages can be used by many threads, refuse to send multipart messages and want a routing id where they route
// by one; joining a group twice, leaving one that is not joined and too long a group fail; multipart messages from the wire are discarded.
func TestBehaviour81_ThreadSafeTypes(t *testing.T) {
	for _, s := range []any{
		socket.NewClient(), socket.NewServer(), socket.NewRadio(), socket.NewDish(), socket.NewScatter(), socket.NewGather(),
		socket.NewP2P(), socket.NewChannel(),
	} {
		requireNoMultipart(t, s)
	}
	eachTransport(t, func(t *testing.T, transport string) {
		server, client := socket.NewServer(), socket.NewClient()
		join(t, transport, server, client)
		checkManySenders(t, ofClient(client), server)
		require.ErrorIs(t, server.Send(limit(t), 0, []byte("to nobody")), socket.ErrNoPeer)

		radio, dish := socket.NewRadio(), socket.NewDish()
		closing(t, radio, dish)
		require.NoError(t, dish.Join("movies"))
		require.ErrorIs(t, dish.Join("movies"), socket.ErrState)
		require.NoError(t, dish.Leave("movies"))
		require.ErrorIs(t, dish.Leave("movies"), socket.ErrState)
		require.ErrorIs(t, dish.Join(strings.Repeat("x", 256)), socket.ErrGroup)
		require.ErrorIs(t, radio.Send(limit(t), strings.Repeat("x", 256), nil), socket.ErrGroup)

		checkDiscardsMultipart(t, transport, socket.NewServer(), "CLIENT")
		checkDiscardsMultipart(t, transport, socket.NewGather(), "SCATTER")
	})
}

// Behaviour 95: arbitrary bytes do not crash raw sockets: a STREAM takes all for what they are.
func TestBehaviour95_StreamTakesAnyBytes(t *testing.T) {
	t.Parallel()
	stream := socket.NewStream()
	endpoint := bound(t, "tcp", stream)
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 95))
		garbage := []byte([]string{"", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL", "\x04\x26\x05READY", "\x02\x7f\xff\xff\xff"}[r.IntN(4)])
		for range 1 + r.IntN(5000) {
			garbage = append(garbage, byte(r.Uint32()))
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
		require.NoError(t, err)
		_, err = conn.Write(garbage)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		m := recv(t, stream)
		require.Empty(t, m.Bytes(), "it has connected")
		id := fmt.Sprintf("%x", m.Frames[0])
		var got []byte
		for m = recv(t, stream); len(m.Bytes()) > 0; m = recv(t, stream) {
			require.Equal(t, id, fmt.Sprintf("%x", m.Frames[0]))
			got = append(got, m.Bytes()...)
		}
		require.Equal(t, garbage, got)
	}
}
