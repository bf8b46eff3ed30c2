package conformance

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Behaviour 83: CURVE with valid keys works, also with an identity of 255 bytes, whose INITIATE is a long command.
func TestBehaviour83_CurveWorks(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		identity := strings.Repeat("i", 255)
		router := socket.NewRouter(socket.WithCurveServer(keys))
		dealer := socket.NewDealer(socket.WithCurveClient(socket.NewKeyPair(), keys.Public), socket.WithIdentity(identity))
		join(t, transport, router, dealer)
		send(t, dealer, "request", "")
		requireRecv(t, router, identity, "request", "")
		send(t, router, identity, "reply")
		requireRecv(t, dealer, "reply")
	})
}

// Behaviour 85: null server, public and secret keys fail.
//
// Differs: sockets refuse them at construction. A peer that uses one is refused.
func TestBehaviour85_NullKeys(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		for _, opt := range []socket.Option{
			socket.WithCurveServer(socket.KeyPair{}),
			socket.WithCurveServer(socket.KeyPair{Secret: keys.Secret}),
			socket.WithCurveServer(socket.KeyPair{Public: keys.Public}),
			socket.WithCurveClient(socket.KeyPair{}, keys.Public),
			socket.WithCurveClient(keys, socket.PublicKey{}),
		} {
			push := socket.NewPush(opt)
			closing(t, push)
			_, err := push.Bind(fresh(transport))
			require.ErrorIs(t, err, socket.ErrOption)
		}
		pull := socket.NewPull(socket.WithCurveServer(keys))
		endpoint := bound(t, transport, pull)
		await := watch(t, pull)
		peer := secretPeer(t, endpoint, curveClient(t, keys.Public))
		peer.mend = func(_ string, hello []byte) []byte {
			copy(hello[74:106], make([]byte, 32)) // C'
			return hello
		}
		require.Error(t, peer.shake())
		requireRefused(t, await, zmtp.BadKey)
	})
}

// Behaviour 86: NULL and PLAIN clients are refused by a CURVE server, and a CURVE client by others.
func TestBehaviour86_MechanismMismatch(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		for name, sides := range map[string][2][]socket.Option{
			"NULL client":  {{socket.WithCurveServer(keys)}, nil},
			"PLAIN client": {{socket.WithCurveServer(keys)}, {socket.WithPlainClient("user", "password")}},
			"NULL server":  {nil, {socket.WithCurveClient(keys, keys.Public)}},
			"PLAIN server": {plainServer(), {socket.WithCurveClient(keys, keys.Public)}},
		} {
			pull, push := socket.NewPull(sides[0]...), socket.NewPush(sides[1]...)
			endpoint := bound(t, transport, pull)
			closing(t, push)
			awaitPull, awaitPush := watch(t, pull), watch(t, push)
			connect(t, push, endpoint)
			requireRefused(t, awaitPull, zmtp.MechanismMismatch)
			requireRefused(t, awaitPush, zmtp.MechanismMismatch)
			require.Empty(t, pull.Stats().Peers, name)
		}
	})
}

// Behaviour 87: what a client sends that skips the CURVE handshake is never delivered.
func TestBehaviour87_SkippedHandshake(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for what, said := range map[string]string{
			"a message":      `00 05 'hello'`,
			"READY":          `04 1a 05 'READY' 0b 'Socket-Type' 00000004 'PUSH' 00 05 'hello'`,
			"a long message": `02 00000000 00000005 'hello'`,
			"MESSAGE":        `00 27 07 'MESSAGE' 00000000 00000001 00000000 00000000 00000000 00000000 00 'hello'`,
		} {
			pull := socket.NewPull(socket.WithCurveServer(socket.NewKeyPair()))
			endpoint := bound(t, transport, pull)
			await := watch(t, pull)
			raw := dialRaw(t, endpoint)
			raw.SendGreeting(1, "CURVE")
			raw.ReadGreeting()
			raw.Send(said)
			requireRefused(t, await, zmtp.UnexpectedCommand)
			requireNothing(t, pull)
			require.Zero(t, pull.Stats().MessagesIn, what)
		}
	})
}

// malformed runs a table of commands that are wrong, each of which is refused while others are served.
func malformed(t *testing.T, command string, table map[string]struct {
	change func([]byte) []byte
	want   zmtp.Reason
}) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		pull := socket.NewPull(socket.WithCurveServer(keys))
		endpoint := bound(t, transport, pull)
		push := socket.NewPush(socket.WithCurveClient(socket.NewKeyPair(), keys.Public))
		closing(t, push)
		connect(t, push, endpoint)
		awaitPeers(t, push, 1)
		await := watch(t, pull)
		for name, tc := range table {
			peer := secretPeer(t, endpoint, curveClient(t, keys.Public))
			peer.mend = func(name string, data []byte) []byte {
				if name == command {
					data = tc.change(data)
				}
				return data
			}
			require.Error(t, peer.shake(), name)
			requireRefused(t, await, tc.want)
			send(t, push, name)
			requireRecv(t, pull, name)
		}
	})
}

func cutShort(b []byte) []byte { return b[:len(b)-1] }
func longer(b []byte) []byte   { return append(b, 0) }

func flipped(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0x10; return b }
}

// Behaviour 88: a malformed HELLO is refused: of a wrong length, of another name, of a version unknown.
// RFC 26, HELLO: the server MUST refuse a HELLO that does not open.
// RFC 26, HELLO: the padding and what is sealed SHALL be zeros.
func TestBehaviour88_MalformedHello(t *testing.T) {
	malformed(t, "HELLO", map[string]struct {
		change func([]byte) []byte
		want   zmtp.Reason
	}{
		"short":        {cutShort, zmtp.MalformedCommand},
		"long":         {longer, zmtp.MalformedCommand},
		"version":      {flipped(0), zmtp.MalformedCommand},
		"padding":      {flipped(20), zmtp.MalformedCommand},
		"key":          {flipped(80), zmtp.BadKey},
		"nonce":        {flipped(108), zmtp.BadKey},
		"box":          {flipped(150), zmtp.BadKey},
		"not a tenth":  {func(b []byte) []byte { return b[:20] }, zmtp.MalformedCommand},
		"nothing":      {func([]byte) []byte { return nil }, zmtp.MalformedCommand},
		"far too long": {func(b []byte) []byte { return append(b, bytes.Repeat([]byte{1}, 8000)...) }, zmtp.TooLarge},
	})
}

// Behaviour 89: a malformed INITIATE is refused, of a wrong length, with a cookie or a box that was changed, and others are served.
// RFC 26, INITIATE: the server MUST refuse an INITIATE whose cookie or box does not open.
// RFC 26, INITIATE: the nonce SHALL be larger than that of HELLO.
func TestBehaviour89_MalformedInitiate(t *testing.T) {
	malformed(t, "INITIATE", map[string]struct {
		change func([]byte) []byte
		want   zmtp.Reason
	}{
		"short":        {cutShort, zmtp.BadKey},
		"too short":    {func(b []byte) []byte { return b[:100] }, zmtp.MalformedCommand},
		"long":         {longer, zmtp.BadKey},
		"cookie nonce": {flipped(3), zmtp.BadKey},
		"cookie":       {flipped(50), zmtp.BadKey},
		"old nonce":    {func(b []byte) []byte { b[103] = 1; return b }, zmtp.Replayed},
		"nonce":        {flipped(103), zmtp.BadKey},
		"box":          {flipped(200), zmtp.BadKey},
		"64 KiB":       {func(b []byte) []byte { return append(b, make([]byte, 64<<10)...) }, zmtp.TooLarge},
	})
}
