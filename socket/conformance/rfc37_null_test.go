package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// zmtpTypes are all socket types that speak ZMTP, each with a type it may talk to.
var zmtpTypes = map[string]struct {
	peer string
	make func(...socket.Option) connector
}{
	"REQ":     {"REP", func(o ...socket.Option) connector { return socket.NewReq(o...) }},
	"REP":     {"REQ", func(o ...socket.Option) connector { return socket.NewRep(o...) }},
	"DEALER":  {"ROUTER", func(o ...socket.Option) connector { return socket.NewDealer(o...) }},
	"ROUTER":  {"DEALER", func(o ...socket.Option) connector { return socket.NewRouter(o...) }},
	"PUB":     {"SUB", func(o ...socket.Option) connector { return socket.NewPub(o...) }},
	"XPUB":    {"XSUB", func(o ...socket.Option) connector { return socket.NewXPub(o...) }},
	"SUB":     {"PUB", func(o ...socket.Option) connector { return socket.NewSub(o...) }},
	"XSUB":    {"XPUB", func(o ...socket.Option) connector { return socket.NewXSub(o...) }},
	"PUSH":    {"PULL", func(o ...socket.Option) connector { return socket.NewPush(o...) }},
	"PULL":    {"PUSH", func(o ...socket.Option) connector { return socket.NewPull(o...) }},
	"PAIR":    {"PAIR", func(o ...socket.Option) connector { return socket.NewPair(o...) }},
	"CLIENT":  {"SERVER", func(o ...socket.Option) connector { return socket.NewClient(o...) }},
	"SERVER":  {"CLIENT", func(o ...socket.Option) connector { return socket.NewServer(o...) }},
	"RADIO":   {"DISH", func(o ...socket.Option) connector { return socket.NewRadio(o...) }},
	"DISH":    {"RADIO", func(o ...socket.Option) connector { return socket.NewDish(o...) }},
	"SCATTER": {"GATHER", func(o ...socket.Option) connector { return socket.NewScatter(o...) }},
	"GATHER":  {"SCATTER", func(o ...socket.Option) connector { return socket.NewGather(o...) }},
	"PEER":    {"PEER", func(o ...socket.Option) connector { return socket.NewP2P(o...) }},
	"CHANNEL": {"CHANNEL", func(o ...socket.Option) connector { return socket.NewChannel(o...) }},
}

// awaitAlone waits until s has no peer.
func awaitAlone(t *testing.T, s connector) {
	t.Helper()
	eventually(t, func() bool {
		return !slices.ContainsFunc(s.Stats().Peers, func(p socket.PeerStats) bool { return p.Connected })
	}, "no peer is left")
}

// RFC 37, NULL: the client, which is the peer that connects, SHALL send READY and then wait for one.
// RFC 23, NULL: both peers SHALL send each other READY.
// RFC 23, NULL: each peer MUST send its READY before it attempts to receive the other's.
func TestRFC37_NULL_ClientSendsReadyFirst(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		eachRole(t, transport, newPull, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
			raw.SendGreeting(1, "NULL")
			raw.ReadGreeting()
			require.Equal(t, "PULL", raw.ReadReady()["Socket-Type"])
			readyOf(raw, "PUSH")
			awaitPeers(t, s, 1)
		})
	})
}

// RFC 37, NULL: the server, which is the peer that binds, MUST send READY in reply to the client's if that has no error.
//
// Differs: it sends READY as soon as it has the client's greeting, as RFC 23 demands of both; a client of 3.0 may wait for that.
func TestRFC37_NULL_ServerSendsReady(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		raw := dialRaw(t, bound(t, transport, pull))
		raw.SendGreeting(0, "NULL")
		raw.ReadGreeting()
		require.Equal(t, "PULL", raw.ReadReady()["Socket-Type"])
		readyOf(raw, "PUSH")
		awaitPeers(t, pull, 1)
	})
}

// RFC 37, NULL: messages may be sent after having both sent and received READY, and not before.
// RFC 23, NULL: messages may be sent after having sent READY.
func TestRFC37_NULL_MessagesFollowBothReadys(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush()
		closing(t, push)
		l := listenRaw(t, fresh(transport))
		connect(t, push, l.Endpoint)
		send(t, push, "early")
		raw := l.Accept()
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		raw.ReadReady()
		raw.ExpectSilence(20 * time.Millisecond)
		readyOf(raw, "PULL")
		require.Equal(t, []string{"early"}, raw.ReadMessage())
		// A peer of ZMTP 3.0 sends them right behind its READY.
		pull := socket.NewPull()
		eager := dialRaw(t, bound(t, transport, pull))
		eager.SendGreeting(0, "NULL")
		readyOf(eager, "PUSH")
		eager.SendMessage("eager")
		requireRecv(t, pull, "eager")
	})
}

// RFC 37, NULL: a property's name SHALL have 1 to 255 characters; none is not valid.
// RFC 37, NULL: the case of names SHALL NOT be significant.
// RFC 37, Metadata: names SHALL be case-insensitive.
// RFC 23, NULL: a property's name SHALL have 1 to 255 characters; none is not valid.
// RFC 23, NULL: the case of names SHALL NOT be significant.
// RFC 23, Metadata: names SHALL be case-insensitive.
func TestRFC37_NULL_PropertyNames(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		long := "X-" + strings.Repeat("n", 253)
		raw := dialRaw(t, endpoint)
		raw.SendGreeting(1, "NULL")
		raw.SendReady(sockettest.Property{Name: "sOCKET-tYPE", Value: "PUSH"}, sockettest.Property{Name: long, Value: "long"},
			sockettest.Property{Name: "x-Case", Value: "any"}, sockettest.Property{Name: "A1-_.+", Value: "odd"}, sockettest.Property{Name: "p", Value: "short"})
		awaitPeers(t, pull, 1)
		who := pull.Stats().Peers[0].Peer
		require.Equal(t, "PUSH", who.SocketType())
		for name, want := range map[string]string{long: "long", strings.ToLower(long): "long", "X-CASE": "any", "a1-_.+": "odd", "P": "short"} {
			have, found := who.Property(name)
			require.True(t, found, name)
			require.Equal(t, want, have)
		}
		for _, wrong := range []string{"", "X y", "X:y", "Ü"} {
			bad := dialRaw(t, endpoint)
			bad.SendGreeting(1, "NULL")
			bad.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PUSH"}, sockettest.Property{Name: wrong, Value: "v"})
			bad.ExpectClosed()
		}
	})
}

// RFC 37, NULL: a property's value SHALL be opaque octets, of which there may be none, behind a size of four octets in network order.
// RFC 37, Metadata: the mechanism SHALL let peers exchange a dictionary of keys and values.
// RFC 23, NULL: a property's value SHALL be opaque octets, of which there may be none, behind a size of four octets in network order.
// RFC 23, Metadata: the mechanism SHALL let peers exchange a dictionary of keys and values.
func TestRFC37_NULL_PropertyValues(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		values := map[string]string{"X-Empty": "", "X-Binary": "\x00\xff\x01\n", "X-Long": strings.Repeat("v", 2000)}
		opts := []socket.Option{}
		for name, value := range values {
			opts = append(opts, socket.WithProperty(name, value))
		}
		pull, push := socket.NewPull(), socket.NewPush(opts...)
		endpoint := join(t, transport, pull, push)
		for name, value := range values {
			have, found := pull.Stats().Peers[0].Peer.Property(name)
			require.True(t, found, name)
			require.Equal(t, value, have, name)
		}
		raw := dialRaw(t, endpoint)
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		raw.Expect("04 26 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PULL' 06 'X-Mesh' 00 00 00 01 '1'")
		raw.Send("04 20 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PUSH' 01 'V' 00 00 00 00")
		awaitPeers(t, pull, 2)
	})
}

// RFC 37, NULL: a property's value SHALL have up to 2^31-1 octets.
// RFC 23, NULL: a property's value SHALL have up to 2^31-1 octets.
//
// Differs: a READY has at most 4096 octets in all. It comes from whoever can reach the port, before anybody has decided to trust him.
func TestRFC37_NULL_ReadyIsBounded(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		for _, size := range []int{3000, 4096} {
			events := watch(t, pull)
			raw := dialRaw(t, endpoint)
			raw.SendGreeting(1, "NULL")
			raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PUSH"}, sockettest.Property{Name: "X", Value: strings.Repeat("v", size)})
			if size < 4096 {
				events(socket.Connected)
			} else {
				require.ErrorContains(t, events(socket.HandshakeFailed).Err, "want at most 4096")
				raw.ExpectClosed()
			}
		}
		claim := dialRaw(t, endpoint)
		claim.SendGreeting(1, "NULL")
		claim.Send("06 00 00 00 00 7f ff ff ff")
		claim.ExpectClosed()
	})
}

// RFC 37, Metadata: names that start with X- SHALL be reserved for applications.
// RFC 23, Metadata: names that start with X- SHALL be reserved for applications.
func TestRFC37_Metadata_ApplicationNames(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, name := range []string{"Resource", "Socket-Type", "Identity", "Y-Mine", "X"} {
			_, err := socket.NewPull(socket.WithProperty(name, "v")).Bind(fresh(transport))
			require.ErrorIs(t, err, socket.ErrOption, name)
		}
		raw := dialRaw(t, bound(t, transport, socket.NewPull(socket.WithProperty("X-Mine", "v"))))
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		ready := raw.ReadReady()
		require.Equal(t, "v", ready["X-Mine"])
		for name := range ready {
			require.True(t, name == "Socket-Type" || strings.HasPrefix(name, "X-"), name)
		}
	})
}

// RFC 37, Socket-Type: SHALL be one of the 19 names.
// RFC 23, Socket-Type: SHALL be one of the 11 names.
func TestRFC37_SocketType_Names(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, typ := range zmtpTypes {
			raw := dialRaw(t, bound(t, transport, typ.make()))
			_, ready := raw.Handshake(typ.peer, 1)
			require.Equal(t, name, ready["Socket-Type"])
		}
		require.Len(t, zmtpTypes, 19)
	})
}

// RFC 37, Socket-Type: SHOULD answer a type that may not talk to its own with an ERROR command, and then disconnect.
// RFC 23, Socket-Type: SHOULD answer a type that may not talk to its own with an ERROR command, and then disconnect.
func TestRFC37_SocketType_Legal(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		legal := map[string]string{
			"REQ": "REP ROUTER", "REP": "REQ DEALER", "DEALER": "REP DEALER ROUTER", "ROUTER": "REQ DEALER ROUTER",
			"PUB": "SUB XSUB", "XPUB": "SUB XSUB", "SUB": "PUB XPUB", "XSUB": "PUB XPUB", "PUSH": "PULL", "PULL": "PUSH", "PAIR": "PAIR",
			"CLIENT": "SERVER", "SERVER": "CLIENT", "RADIO": "DISH", "DISH": "RADIO", "SCATTER": "GATHER", "GATHER": "SCATTER",
			"PEER": "PEER", "CHANNEL": "CHANNEL",
		}
		for ours, typ := range zmtpTypes {
			s := typ.make()
			endpoint := bound(t, transport, s)
			for _, theirs := range append(slices.Collect(maps.Keys(legal)), "MOON", "push", "") {
				raw := dialRaw(t, endpoint)
				raw.SendGreeting(1, "NULL")
				raw.ReadGreeting()
				raw.ReadReady()
				readyOf(raw, theirs)
				if strings.Contains(" "+legal[ours]+" ", " "+theirs+" ") && theirs != "" {
					raw.SendCommand("PING", []byte("\x00\x00ok"))
					for { // SUB and the like may speak first
						if name, _ := raw.ReadCommand(); name == "PONG" {
							break
						}
					}
				} else {
					require.Equal(t, fmt.Sprintf("%c%s_cannot_talk_to_%s", len(ours+"_cannot_talk_to_"+theirs), ours, theirs), string(raw.ExpectCommand("ERROR")))
					raw.ExpectClosed()
				}
				raw.Close()
				eventually(t, func() bool { return len(s.Stats().Peers) == 0 }) // PAIR has one peer at a time
			}
		}
	})
}

// RFC 37, Identity: SHALL have at most 255 octets.
// RFC 37, Identity: its first octet SHALL NOT be zero.
// RFC 23, Identity: SHALL have at most 255 octets.
func TestRFC37_Identity_Grammar(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, id := range []string{"", "\x00", "\x00id", strings.Repeat("i", 256)} {
			_, err := socket.NewDealer(socket.WithIdentity(id)).Bind(fresh(transport))
			require.ErrorIs(t, err, socket.ErrOption)
		}
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		identity := func(id string) sockettest.Property { return sockettest.Property{Name: "Identity", Value: id} }
		for _, id := range []string{"i", "\xff\x00\x01", strings.Repeat("i", 255)} {
			rawPeer(t, endpoint, "DEALER", identity(id)).SendMessage("from")
			requireRecv(t, router, id, "from")
		}
		for _, id := range []string{"\x00", "\x00id", strings.Repeat("i", 256)} {
			raw := dialRaw(t, endpoint)
			raw.SendGreeting(1, "NULL")
			raw.ReadGreeting()
			raw.ReadReady()
			raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: "DEALER"}, identity(id))
			raw.ExpectCommand("ERROR")
			raw.ExpectClosed()
		}
	})
}

// RFC 37, Identity: SHALL be ignored for all types but REQ, DEALER and ROUTER.
// RFC 23, Identity: SHALL be ignored for all types but REQ, DEALER and ROUTER.
func TestRFC37_Identity_OfSomeTypesOnly(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for ours, typ := range zmtpTypes {
			s := typ.make()
			raw := dialRaw(t, bound(t, transport, s))
			_, ready := raw.Handshake(typ.peer, 1, sockettest.Property{Name: "Identity", Value: "theirs"})
			_, announced := ready["Identity"]
			require.Equal(t, strings.Contains(" REQ DEALER ROUTER ", " "+ours+" "), announced, ours)
			awaitPeers(t, s, 1)
			want := ""
			if strings.Contains(" REQ DEALER ROUTER ", " "+typ.peer+" ") {
				want = "theirs"
			}
			require.Equal(t, want, s.Stats().Peers[0].Peer.Identity(), "of a %s", typ.peer)
		}
	})
}

// RFC 37, Resource: SHALL accept all resource requests.
func TestRFC37_Resource_AllAccepted(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		raw := rawPeer(t, bound(t, transport, pull), "PUSH", sockettest.Property{Name: "Resource", Value: "system/name-service/test"})
		raw.SendMessage("for it")
		m := recv(t, pull)
		require.Equal(t, "for it", m.String())
		resource, _ := m.Peer().Property("Resource")
		require.Equal(t, "system/name-service/test", resource, "the application decides what it means")
	})
}
