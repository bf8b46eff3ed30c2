package conformance

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// secured is a mechanism with what both sides need, and who is its server.
type secured struct {
	ours   []socket.Option
	theirs func() (zmtp.Mechanism, error)
}

func everySecured() []secured {
	our, their := socket.NewKeyPair(), socket.NewKeyPair()
	keys := zmtp.CurveKeys{Public: their.Public, Secret: their.Secret}
	return []secured{
		{[]socket.Option{socket.WithCurveServer(our)}, func() (zmtp.Mechanism, error) { return zmtp.CurveClient(keys, our.Public, rand.Reader) }},
		{[]socket.Option{socket.WithCurveClient(our, their.Public)}, func() (zmtp.Mechanism, error) { return zmtp.CurveServer(keys, rand.Reader), nil }},
		{plainServer(), func() (zmtp.Mechanism, error) { return zmtp.PlainClient("user", "secret") }},
		{[]socket.Option{socket.WithPlainClient("user", "secret")}, func() (zmtp.Mechanism, error) { return zmtp.PlainServer(), nil }},
	}
}

// FuzzSecured has somebody who knows the keys or the password do the handshake and say anything, first as frames of the mechanism and then in the clear, to a
// socket that is bound or connected, the server or the client, of a type that the first octet tells.
func FuzzSecured(f *testing.F) {
	for i, b := range garbage() {
		f.Add(byte(i), byte(i>>1), byte(i>>2), b, []byte{})
	}
	messages := []byte("\x01\x05topic\x00\x05hello\x04\x0b\x09SUBSCRIBEA\x04\x09\x04PING\x00\x00xy\x00\x01\x01")
	for which := range byte(8) {
		f.Add(byte(4), which, which/4, messages, []byte("\x00\x05clear"))
	}
	mechanisms := everySecured()
	f.Fuzz(func(t *testing.T, kind, mechanism, side byte, frames, clear []byte) {
		pattern, secured := patterns[int(kind)%len(patterns)], mechanisms[int(mechanism)%len(mechanisms)]
		survives(t, pattern.make, secured.ours, func(s connector) {
			m, err := secured.theirs()
			require.NoError(t, err)
			h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.SocketType(pattern.peer), Mechanism: m})
			require.NoError(t, err)
			peer := &secret{RawPeer: meetRaw(t, s, side), t: t, h: h}
			require.NoError(t, peer.shake())
			if seal, _ := h.Traffic(); seal != nil {
				frames, _, _ = seal.Append(nil, frames, 1<<30) // as far as they are frames
			}
			_, _ = peer.Conn().Write(append(frames[:len(frames):len(frames)], clear...)) // it may hang up in the middle
			peer.Close()
		})
	})
}

// meetRaw connects a raw peer to s or, with an odd side, s to it.
func meetRaw(t *testing.T, s connector, side byte) *sockettest.RawPeer {
	t.Helper()
	if side%2 == 0 {
		return dialRaw(t, bind(t, s, fresh("inproc")))
	}
	l := listenRaw(t, fresh("inproc"))
	connect(t, s, l.Endpoint)
	raw := l.Accept()
	l.Close()
	return raw
}
