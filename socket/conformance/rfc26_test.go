package conformance

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// curvePull binds a PULL that is a CURVE server.
func curvePull(t *testing.T, transport string) (pull *socket.Pull, endpoint string, key socket.PublicKey) {
	t.Helper()
	keys := socket.NewKeyPair()
	pull = socket.NewPull(socket.WithCurveServer(keys))
	return pull, bound(t, transport, pull), keys.Public
}

// RFC 26, WELCOME: the server SHALL make a new cookie and new keys for each connection.
// RFC 26, INITIATE: a cookie SHALL be good for the connection that it was given to, and once.
func TestRFC26_CookieIsOfOneConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull, endpoint, key := curvePull(t, transport)
		await := watch(t, pull)
		var cookies [][]byte
		first := secretPeer(t, endpoint, curveClient(t, key))
		first.mend = func(name string, data []byte) []byte {
			if name == "INITIATE" {
				cookies = append(cookies, bytes.Clone(data[:96]))
			}
			return data
		}
		require.NoError(t, first.shake())
		second := secretPeer(t, endpoint, curveClient(t, key))
		second.mend = func(name string, data []byte) []byte {
			if name == "INITIATE" {
				require.NotEqual(t, cookies[0], data[:96])
				copy(data, cookies[0])
			}
			return data
		}
		require.Error(t, second.shake())
		requireRefused(t, await, zmtp.BadKey)
	})
}

// RFC 26, Security: a nonce SHALL NOT be used twice, and SHALL be larger than the one before; a peer that breaks this MUST be disconnected.
// RFC 26, ERROR: no ERROR SHALL be sent for a MESSAGE.
func TestRFC26_MessageNonces(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, change := range map[string]func(first, second []byte) []byte{
			"used twice":  func(first, _ []byte) []byte { return first },
			"smaller":     func(_, second []byte) []byte { second[2+8+7] = 1; return second },
			"other":       func(_, second []byte) []byte { second[2+8+7]++; return second },
			"changed tag": func(_, second []byte) []byte { second[2+16] ^= 1; return second },
			"changed bit": func(_, second []byte) []byte { second[len(second)-1] ^= 0x80; return second },
			"not sealed":  func(_, _ []byte) []byte { return []byte("\x00\x05hello") },
			"cut short":   func(_, second []byte) []byte { return append([]byte{0, 20}, second[2:22]...) },
		} {
			t.Run(name, func(t *testing.T) {
				pull, endpoint, key := curvePull(t, transport)
				await := watch(t, pull)
				peer := secretPeer(t, endpoint, curveClient(t, key))
				require.NoError(t, peer.shake())
				seal, _ := peer.h.Traffic()
				first, _, err := seal.Append(nil, []byte("\x00\x05first"), 1)
				require.NoError(t, err)
				second, _, err := seal.Append(nil, []byte("\x00\x06second"), 1)
				require.NoError(t, err)
				peer.Write(first)
				requireRecv(t, pull, "first")
				peer.Write(change(first, second))
				require.NotContains(t, string(peer.ExpectClosed()), "ERROR")
				require.Error(t, await(socket.Disconnected).Err)
				requireNothing(t, pull)
			})
		}
	})
}

// RFC 26, MESSAGE: nonces may leave numbers out, but SHALL grow.
// RFC 37, Wire Analysis: on an encrypted connection message data SHALL be sent as commands.
// RFC 23, Wire Analysis: on an encrypted connection message data SHALL be sent as commands.
//
// Differs: we send them without the flag COMMAND, as libzmq does, which drops them with it. From peers both are taken.
func TestRFC26_MessageFrames(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		dealer := socket.NewDealer(socket.WithCurveServer(keys))
		endpoint := bound(t, transport, dealer)
		m := curveClient(t, keys.Public)
		h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.Dealer, Mechanism: m})
		require.NoError(t, err)
		peer := &secret{RawPeer: dialRaw(t, endpoint), t: t, h: h}
		require.NoError(t, peer.shake())
		seal, _ := h.Traffic()
		for _, flags := range []byte{0, zmtp.FlagCommand} {
			sealed, _, err := seal.Append(nil, []byte("\x00\x05hello"), 1)
			require.NoError(t, err)
			_, _, err = seal.Append(nil, []byte("\x00\x04lost"), 1) // its number is never seen
			require.NoError(t, err)
			sealed[0] = flags
			peer.Write(sealed)
			requireRecv(t, dealer, "hello")
		}
		send(t, dealer, "reply")
		for { // until the PINGs, if any, are over
			frame := peer.ReadFrame()
			require.Zero(t, frame.Flags)
			require.Equal(t, "\x07MESSAGE", string(frame.Body[:8]))
			if len(frame.Body) == zmtp.SealedOverhead+len("reply") {
				return
			}
		}
	})
}

// RFC 37, Backwards Interoperability: with any mechanism but NULL MUST close the connection at once when the peer speaks ZMTP 1.0 or 2.0.
// RFC 37, Security: MUST guard against downgrade, be it by a header of ZMTP 1.0 or 2.0 or by a mechanism less secure than asked for.
// RFC 23, Backwards Interoperability: with any mechanism but NULL MUST close the connection at once when the peer speaks ZMTP 1.0 or 2.0.
// RFC 23, Security: MUST guard against downgrade, be it by a header of ZMTP 1.0 or 2.0 or by a mechanism less secure than asked for.
func TestRFC37_Security_NoDowngrade(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, security := range [][]socket.Option{{socket.WithCurveServer(socket.NewKeyPair())}, plainServer(), {socket.WithPlainClient("u", "p")}} {
			pull := socket.NewPull(security...)
			endpoint := bound(t, transport, pull)
			await := watch(t, pull)
			for script, why := range map[string]zmtp.Reason{
				"ff 00000000 00000001 7f 01 08 00 00": zmtp.OldVersion, // 2.0
				"01 00":                               zmtp.OldVersion, // 1.0
				signature + "03 01" + null:            zmtp.MechanismMismatch,
			} {
				raw := dialRaw(t, endpoint)
				raw.Send(script)
				requireRefused(t, await, why)
				raw.ExpectClosed()
			}
		}
	})
}

// Behaviour 95: arbitrary bytes do not crash CURVE sockets, nor the Z85 decoder (FuzzMechanism, FuzzCurveConversation, FuzzOpener, FuzzSealed, FuzzZ85 and
// FuzzCertificate look for more).
func TestBehaviour95_CurveGarbage(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull, endpoint, key := curvePull(t, transport)
		for _, b := range garbage() {
			raw := dialRaw(t, endpoint)
			_, _ = raw.Conn().Write(bytes.ReplaceAll(b, []byte("NULL\x00"), []byte("CURVE")))
			raw.Close()
		}
		push := socket.NewPush(socket.WithCurveClient(socket.NewKeyPair(), key))
		closing(t, push)
		connect(t, push, endpoint)
		send(t, push, "still served")
		requireRecv(t, pull, "still served")
	})
}
