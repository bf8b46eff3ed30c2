package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// The parts of a greeting, as scripts.
const (
	signature = "ff 00 00 00 00 00 00 00 01 7f"
	null      = "'NULL' 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
	filler    = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
)

// eachRole runs a test with a raw peer that connects to a socket, and with one that a socket connects to.
func eachRole(t *testing.T, transport string, newSocket func() connector, test func(t *testing.T, s connector, raw *sockettest.RawPeer)) {
	t.Run("binds", func(t *testing.T) {
		s := newSocket()
		test(t, s, dialRaw(t, bound(t, transport, s)))
	})
	t.Run("connects", func(t *testing.T) {
		s := newSocket()
		closing(t, s)
		l := listenRaw(t, fresh(transport))
		connect(t, s, l.Endpoint)
		test(t, s, l.Accept())
	})
}

func newPull() connector { return socket.NewPull(swift()) }

// readyOf has the raw peer say what it is, behind a greeting.
func readyOf(raw *sockettest.RawPeer, socketType string) {
	raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: socketType})
}

// RFC 37, Version Negotiation: a peer that detects older versions SHALL send a partial greeting that is enough for it, the first 11 octets.
// RFC 37, Backwards Interoperability: the size in the pseudo-signature for ZMTP 1.0 SHALL be 8 octets in network order in place of the padding.
// RFC 23, Version Negotiation: a peer that detects older versions SHALL send a partial greeting that is enough for it, the first 11 octets.
// RFC 23, Backwards Interoperability: the size in the pseudo-signature for ZMTP 1.0 SHALL be 8 octets in network order in place of the padding.
//
// Differs: it is the first 10 octets. Where ZMTP 1.0 is to be detected the RFCs themselves ask for that further down, since it would take the
// eleventh for its identity; libzmq does the same. A peer that waits for more gets the whole greeting after 300 ms.
func TestRFC37_VersionNegotiation_PartialGreeting(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for id, size := range map[string]string{"": "01", "worker": "07", strings.Repeat("i", 255): "01 00"} {
			dealer := func() connector {
				if id == "" {
					return socket.NewDealer()
				}
				return socket.NewDealer(socket.WithIdentity(id))
			}
			eachRole(t, transport, dealer, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				padding := strings.Repeat("00", 8-len(strings.Fields(size))) + size
				raw.Expect("ff " + padding + " 7f")
				raw.Expect("03 01" + null + "00" + filler) // we have waited
				raw.SendGreeting(1, "NULL")
				raw.ReadReady()
				readyOf(raw, "ROUTER")
				awaitPeers(t, s, 1)
			})
		}
	})
}

// RFC 37, Version Negotiation: it SHALL then read the first eleven octets of the other peer's greeting and decide whether to downgrade.
// RFC 23, Version Negotiation: it SHALL then read the first eleven octets of the other peer's greeting and decide whether to downgrade.
func TestRFC37_VersionNegotiation_DecidesByElevenOctets(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for major, answer := range map[string]string{"01": "07 00 00", "02": "07 00 00", "03": "01" + null, "04": "01" + null} {
			eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				raw.Expect(signature)
				raw.Send(signature)
				raw.Expect("03")
				raw.Send(major)
				raw.Expect(answer)
			})
		}
	})
}

// RFC 37, Version Negotiation: a peer that does not downgrade SHALL send its entire greeting at once and expect one of 64 octets.
// RFC 23, Version Negotiation: a peer that does not downgrade SHALL send its entire greeting at once and expect one of 64 octets.
func TestRFC37_VersionNegotiation_EntireGreeting(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		// CLIENT is younger than ZMTP 2.0.
		eachRole(t, transport, func() connector { return socket.NewClient() }, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
			raw.Expect("ff 00 00 00 00 00 00 00 00 7f 03 01" + null + "00" + filler)
			raw.SendGreeting(1, "NULL")
			raw.ReadReady()
			readyOf(raw, "SERVER")
			awaitPeers(t, s, 1)
		})
	})
}

// RFC 37, Version Negotiation: SHALL NOT give the padding any meaning, and MUST NOT validate or interpret it.
// RFC 23, Version Negotiation: SHALL NOT give the padding any meaning, and MUST NOT validate or interpret it.
func TestRFC37_VersionNegotiation_PaddingMeansNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, padding := range []string{"00 00 00 00 00 00 00 00", "ff ff ff ff ff ff ff ff", "'anything'", "7f 03 01 00 00 00 00 80"} {
			eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				raw.Send("ff" + padding + "7f 03 01" + null + "00" + filler)
				raw.ReadGreeting()
				raw.ReadReady()
				readyOf(raw, "PUSH")
				awaitPeers(t, s, 1)
				require.Equal(t, "3.1", s.Stats().Peers[0].Peer.Version())
			})
		}
	})
}

// RFC 37, Version Negotiation: MUST accept higher protocol versions, that is all from 3.1 on.
// RFC 37, Version Negotiation: SHALL always use its own protocol, framing included, with a peer of an equal or higher version.
// RFC 23, Version Negotiation: MUST accept higher protocol versions, that is all from 3.0 on.
// RFC 23, Version Negotiation: SHALL always use its own protocol, framing included, with a peer of an equal or higher version.
func TestRFC37_VersionNegotiation_HigherVersions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for version, spoken := range map[string]string{"03 00": "3.0", "03 01": "3.1", "03 02": "3.1", "03 ff": "3.1", "04 00": "3.1", "ff ff": "3.1"} {
			eachRole(t, transport, func() connector { return socket.NewSub() }, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				raw.Send(signature + version + null + "00" + filler)
				greeting := raw.ReadGreeting()
				require.Equal(t, []byte{3, 1}, []byte{greeting.Major, greeting.Minor})
				raw.ReadReady()
				readyOf(raw, "PUB")
				awaitPeers(t, s, 1)
				require.Equal(t, spoken, s.Stats().Peers[0].Peer.Version())
				require.NoError(t, s.(*socket.Sub).Subscribe("A"))
				if spoken == "3.1" {
					raw.Expect("04 0b 09 'SUBSCRIBE' 'A'")
				} else {
					raw.Expect("00 02 01 'A'")
				}
			})
		}
	})
}

// RFC 37, Version Negotiation: MUST close the connection if it cannot downgrade to the peer's version.
// RFC 23, Version Negotiation: MUST close the connection if it cannot downgrade to the peer's version.
func TestRFC37_VersionNegotiation_CannotDowngrade(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, c := range map[string]struct {
			newSocket func() connector
			greeting  string
		}{
			"version 0":         {newPull, signature + "00"},
			"2.0, and a CLIENT": {func() connector { return socket.NewClient(swift()) }, signature + "01"},
			"1.0, and a CLIENT": {func() connector { return socket.NewClient(swift()) }, "01 00"},
			"no ZMTP":           {newPull, "'hello'"},
		} {
			t.Run(name, func(t *testing.T) {
				eachRole(t, transport, c.newSocket, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
					events := watch(t, s)
					raw.Send(c.greeting)
					raw.ExpectClosed()
					assert.Error(t, events(socket.HandshakeFailed).Err)
				})
			})
		}
	})
}

// RFC 37, Backwards Interoperability: MAY detect ZMTP 1.0 and 2.0 peers, and then continues in their protocol.
// RFC 23, Backwards Interoperability: MAY detect ZMTP 1.0 and 2.0 peers, and then continues in their protocol.
func TestRFC37_BackwardsInteroperability(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for version, c := range map[string]struct{ theirs, ours, message string }{
			"2.0": {signature + "01 06 00 00", "ff 00 00 00 00 00 00 00 03 7f 03 05 00 02 'us'", "01 00 00 05 'hello'"},
			"1.0": {"01 00", "ff 00 00 00 00 00 00 00 03 7f 'us'", "01 01 06 00 'hello'"},
		} {
			newDealer := func() connector { return socket.NewDealer(socket.WithIdentity("us")) }
			eachRole(t, transport, newDealer, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				raw.Send(c.theirs)
				raw.Expect(c.ours)
				awaitPeers(t, s, 1)
				require.Equal(t, version, s.Stats().Peers[0].Peer.Version())
				dealer := s.(*socket.Dealer)
				raw.Send(c.message)
				requireRecv(t, dealer, "", "hello")
				send(t, dealer, "", "hello")
				raw.Expect(c.message)
			})
		}
	})
}

// RFC 37, Topology: as-server SHALL have no significance where the mechanism has no roles.
// RFC 37, NULL: as-server MUST be zero.
// RFC 23, Topology: as-server SHALL have no significance where the mechanism has no roles.
// RFC 23, NULL: as-server MUST be zero.
func TestRFC37_Topology_AsServer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, theirs := range []string{"00", "01"} {
			eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				raw.Send(signature + "03 01" + null + theirs + filler)
				require.False(t, raw.ReadGreeting().AsServer)
				raw.ReadReady()
				readyOf(raw, "PUSH")
				awaitPeers(t, s, 1)
			})
		}
	})
}

// RFC 37, Authentication: mechanism names SHALL consist of upper-case letters, digits, hyphens and underscores only.
// RFC 37, Authentication: the mechanism is padded with zeros to 20 octets.
// RFC 23, Authentication: mechanism names SHALL consist of upper-case letters, digits, hyphens and underscores only.
// RFC 23, Authentication: the mechanism is padded with zeros to 20 octets.
func TestRFC37_Authentication_MechanismName(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
			raw.SendGreeting(1, "NULL")
			require.Equal(t, "NULL"+strings.Repeat("\x00", 16), string(raw.Read(64)[12:32]))
		})
	})
}

// RFC 37, Authentication: a peer that reads a full greeting MUST also send one.
// RFC 37, Authentication: MUST close the connection if the mechanism it receives is not exactly the one it sent.
// RFC 23, Authentication: a peer that reads a full greeting MUST also send one.
// RFC 23, Authentication: MUST close the connection if the mechanism it receives is not exactly the one it sent.
func TestRFC37_Authentication_MechanismMatches(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, mechanism := range []string{"PLAIN", "CURVE", "null", "NULL2", "NUL", "", "NULL\x00X", "NULLNULLNULLNULLNULL"} {
			eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
				events := watch(t, s)
				raw.SendGreeting(1, mechanism)
				raw.ReadGreeting()
				require.Empty(t, raw.ExpectClosed(), "%q", mechanism)
				require.ErrorContains(t, events(socket.HandshakeFailed).Err, "mechanism")
			})
		}
		// A peer that is refused for another reason is greeted in full too.
		pair := socket.NewPair()
		endpoint := bound(t, transport, pair)
		rawPeer(t, endpoint, "PAIR")
		awaitPeers(t, pair, 1)
		second := dialRaw(t, endpoint)
		second.SendGreeting(1, "NULL")
		second.ReadGreeting()
		second.ExpectClosed()
	})
}

// RFC 37, Error Handling: SHALL treat an ERROR command as fatal and close the connection.
// RFC 23, Error Handling: SHALL treat an ERROR command as fatal and close the connection.
func TestRFC37_ErrorHandling_ErrorIsFatal(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
			events := watch(t, s)
			raw.SendGreeting(1, "NULL")
			raw.ReadGreeting()
			raw.ReadReady()
			raw.SendCommand("ERROR", []byte("\x0aNot_today."))
			raw.ExpectClosed()
			var refused *zmtp.HandshakeError
			require.ErrorAs(t, events(socket.HandshakeFailed).Err, &refused)
			require.Equal(t, zmtp.PeerError, refused.Reason)
			require.Equal(t, `"Not_today."`, refused.Detail)
		})
		eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
			events := watch(t, s)
			raw.Handshake("PUSH", 1)
			awaitPeers(t, s, 1)
			raw.Send("00 04 'last' 04 0a 05 'ERROR' 03 '400'")
			raw.ExpectClosed()
			require.ErrorContains(t, events(socket.Disconnected).Err, "400")
			requireRecv(t, s.(recver), "last")
		})
	})
}

// RFC 26, General Design: after an ERROR command SHALL NOT reconnect with the same credentials.
// RFC 37, Error Handling: after an ERROR command SHALL NOT reconnect with the same security credentials.
// RFC 23, Error Handling: after an ERROR command SHALL NOT reconnect with the same security credentials.
//
// Differs: it is an event with the reason, and the next attempts follow in the longest pauses of WithReconnect. NULL has no credentials; and whoever mends the
// other end should not have to restart this one.
func TestRFC37_ErrorHandling_ComesBackLate(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const longest = 200 * time.Millisecond
		pull := socket.NewPull(socket.WithReconnect(time.Nanosecond, longest))
		closing(t, pull)
		l := listenRaw(t, fresh(transport))
		events := watch(t, pull)
		connect(t, pull, l.Endpoint)
		for range 3 {
			raw := l.Accept()
			raw.SendGreeting(1, "NULL")
			raw.SendCommand("ERROR", []byte("\x03400"))
			retry := events(socket.Retrying)
			require.ErrorContains(t, retry.Err, "400")
			require.GreaterOrEqual(t, retry.RetryIn, longest/2)
			require.LessOrEqual(t, retry.RetryIn, longest)
			raw.Close()
		}
		l.Peer("PUSH").SendMessage("mended")
		requireRecv(t, pull, "mended")
	})
}

// RFC 37, Error Handling: SHALL treat an unexpected close of the connection as a temporary error, and reconnect.
// RFC 23, Error Handling: SHALL treat an unexpected close of the connection as a temporary error, and reconnect.
func TestRFC37_ErrorHandling_CloseIsTemporary(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull(swift())
		closing(t, pull)
		l := listenRaw(t, fresh(transport))
		connect(t, pull, l.Endpoint)
		for i, until := range []func(*sockettest.RawPeer){
			func(raw *sockettest.RawPeer) {},
			func(raw *sockettest.RawPeer) { raw.Send(signature) },
			func(raw *sockettest.RawPeer) { raw.SendGreeting(1, "NULL") },
			func(raw *sockettest.RawPeer) { raw.Handshake("PUSH", 1) },
			func(raw *sockettest.RawPeer) { raw.Handshake("PUSH", 1); raw.Send("01 05 'cut'") },
		} {
			raw := l.Accept()
			until(raw)
			raw.Close()
			good := l.Peer("PUSH")
			good.SendMessage(fmt.Sprint(i))
			requireRecv(t, pull, fmt.Sprint(i))
			good.Close()
		}
	})
}
