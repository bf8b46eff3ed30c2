package conformance

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// garbage are the first bytes of things that are no ZMTP peer, or one that breaks off.
func garbage() (all [][]byte) {
	greeting := append(append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1}, "NULL"...), make([]byte, 48)...)
	ready := append([]byte{4, 25, 5}, "READY\x0bSocket-Type\x00\x00\x00\x04PUSH"...)
	all = append(all, nil, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), []byte("SSH-2.0-x\r\n"),
		bytes.Repeat([]byte{0}, 100), bytes.Repeat([]byte{0xff}, 100), greeting, greeting[:20],
		append(bytes.Clone(greeting), ready...), append(bytes.Clone(greeting), ready[:10]...), append(append(bytes.Clone(greeting), ready...), 0xff, 0xff, 0xff),
		append(append(bytes.Clone(greeting), ready...), binary.BigEndian.AppendUint64([]byte{2}, 1<<62)...),
		append(append(bytes.Clone(greeting), ready...), 4, 1, 200))
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		b := append(append(bytes.Clone(greeting), ready...), make([]byte, 40)...)
		for range 1 + r.IntN(5) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		all = append(all, b)
	}
	return all
}

// Behaviour 94: a client that is no ZeroMQ peer and sends garbage is dropped, and the server serves the others.
// Behaviour 95: arbitrary bytes do not crash a socket that is bound (FuzzBound, FuzzIn, FuzzGreeting, FuzzHandshake, FuzzParseHeader, FuzzParseCommand,
// FuzzParseMetadata and FuzzPing look for more).
func TestBehaviour94_GarbageIsDropped(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		good := rawPeer(t, endpoint, "PUSH")
		for _, b := range garbage() {
			raw := dialRaw(t, endpoint)
			_, _ = raw.Conn().Write(b) // which fails where we hung up meanwhile
			raw.Close()
		}
		good.SendMessage("still served")
		for recv(t, pull).String() != "still served" { // some of it may be a message
		}
		rawPeer(t, endpoint, "PUSH").SendMessage("newcomers too")
		for recv(t, pull).String() != "newcomers too" {
		}
	})
}

// Behaviour 95: arbitrary bytes do not crash a socket that connects, and it tries again (FuzzConnected looks for more).
func TestBehaviour95_GarbageFromTheServer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull(swift())
		closing(t, pull)
		l := listenRaw(t, fresh(transport))
		connect(t, pull, l.Endpoint)
		for _, b := range garbage() {
			raw := l.Accept()
			_, _ = raw.Conn().Write(b) // which fails where it hung up meanwhile
			raw.Close()
		}
		l.Peer("PUSH").SendMessage("a server at last")
		for recv(t, pull).String() != "a server at last" {
		}
	})
}

// FuzzBound sends what a peer may send to a socket that is bound, of a type that the first byte tells.
func FuzzBound(f *testing.F) {
	fuzz(f, func(t *testing.T, s connector, b []byte) {
		endpoint, err := s.Bind(fresh("inproc"))
		require.NoError(t, err)
		raw := dialRaw(t, endpoint)
		_, _ = raw.Conn().Write(b)
		raw.Close()
	})
}

// FuzzConnected is FuzzBound for a socket that connects.
func FuzzConnected(f *testing.F) {
	fuzz(f, func(t *testing.T, s connector, b []byte) {
		l := listenRaw(t, fresh("inproc"))
		require.NoError(t, s.Connect(l.Endpoint))
		raw := l.Accept()
		_, _ = raw.Conn().Write(b)
		raw.Close()
		l.Close()
	})
}

func fuzz(f *testing.F, meet func(t *testing.T, s connector, b []byte)) {
	for i, b := range garbage() {
		f.Add(byte(i), b)
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		pattern := patterns[int(kind)%len(patterns)]
		b = bytes.ReplaceAll(b, []byte("\x04PUSH"), append([]byte{byte(len(pattern.peer))}, pattern.peer...)) // past the handshake more often
		survives(t, pattern.make, nil, func(s connector) { meet(t, s, b) })
	})
}

// survives has a peer meet a socket, and waits until the socket has read all that the peer said, and let go of it.
func survives(t *testing.T, create func(...socket.Option) connector, opts []socket.Option, meet func(connector)) {
	t.Helper()
	over := make(chan socket.Event, 1)
	s := create(append(opts, socket.WithLinger(0), socket.WithRecvHWM(0), socket.WithRecvHWMBytes(0), socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.HandshakeFailed || e.Kind == socket.Disconnected {
			select {
			case over <- e:
			default: // the next attempt to connect failed
			}
		}
	}))...)
	meet(s)
	select {
	case <-over:
	case <-time.After(sockettest.Timeout):
		require.Fail(t, "a peer that is gone is still there")
	}
	require.NoError(t, s.Close())
}
