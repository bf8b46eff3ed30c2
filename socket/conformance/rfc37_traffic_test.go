package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// RFC 37, Framing: the flag bits 7 to 3 MUST be zero.
// RFC 37, Framing: MORE SHALL be zero on commands.
// RFC 37, Wire Analysis: on a connection in clear text message data SHALL be sent as message frames.
// RFC 37, Wire Analysis: mechanisms in clear text SHALL use the framing of messages that ZMTP defines.
// RFC 23, Framing: the flag bits 7 to 3 MUST be zero.
// RFC 23, Framing: MORE SHALL be zero on commands.
// RFC 23, Wire Analysis: on a connection in clear text message data SHALL be sent as message frames.
// RFC 23, Wire Analysis: mechanisms in clear text SHALL use the framing of messages that ZMTP defines.
func TestRFC37_Framing_OnTheWire(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush()
		raw := rawPeer(t, bound(t, transport, push), "PULL")
		for _, size := range []int{0, 1, 255, 256, 32 << 10, 33 << 10, 1 << 20} {
			body := strings.Repeat("b", size)
			want := zmtp.AppendFrame(nil, zmtp.FlagMore, []byte(body))
			want = zmtp.AppendFrame(want, zmtp.FlagMore, nil)
			want = zmtp.AppendFrame(want, 0, []byte("end"))
			send(t, push, body, "", "end")
			require.Equal(t, string(want), string(raw.Read(len(want))), "a body of %d octets", size)
		}
		for _, c := range []string{"PING", "HUM"} {
			raw.SendCommand(c, []byte("\x00\x00"))
		}
		raw.Expect("04 05 04 'PONG'")
	})
}

// RFC 37, Framing: the flag bits 7 to 3 MUST be zero.
// RFC 37, Framing: MORE SHALL be zero on commands.
// RFC 23, Framing: the flag bits 7 to 3 MUST be zero.
// RFC 23, Framing: MORE SHALL be zero on commands.
func TestRFC37_Framing_Received(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		for flags := 0; flags < 256; flags++ {
			switch flags {
			case 0, 1, 2, 3, 4, 6:
				continue
			}
			raw := rawPeer(t, endpoint, "PUSH")
			raw.Send(fmt.Sprintf("%02x 00 00 00 00 00 00 00 05 04 'PING'", flags))
			raw.ExpectClosed()
		}
		raw := rawPeer(t, endpoint, "PUSH")
		raw.Send("02 00 00 00 00 00 00 00 04 'long'")
		requireRecv(t, pull, "long")
		raw.Send("02 80 00 00 00 00 00 00 04 'long'") // above 2^63-1
		raw.ExpectClosed()
	})
}

// RFC 37, Messages: SHALL always send messages atomically, all their frames or none.
// RFC 37, Socket Semantics: SHALL queue all frames of a message until the last is sent.
// RFC 23, Messages: SHALL always send messages atomically, all their frames or none.
// RFC 23, Socket Semantics: SHALL queue all frames of a message until the last is sent.
func TestRFC37_Messages_SentAtomically(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(swift())
		closing(t, push)
		l := listenRaw(t, fresh(transport))
		connect(t, push, l.Endpoint)
		big := strings.Split(strings.Repeat(strings.Repeat("b", 30<<10)+",", 400)+"last", ",") // more than a connection holds
		send(t, push, big...)
		send(t, push, "another")
		raw := l.Peer("PULL")
		raw.Read(1 << 20)
		raw.Close()
		again := l.Peer("PULL")
		require.Equal(t, big, again.ReadMessage())
		require.Equal(t, []string{"another"}, again.ReadMessage())
	})
}

// RFC 37, Messages: SHALL always deliver messages atomically, all their frames or none.
// RFC 37, Socket Semantics: a message SHALL be sent or received atomically.
// RFC 23, Messages: SHALL always deliver messages atomically, all their frames or none.
// RFC 23, Socket Semantics: a message SHALL be sent or received atomically.
func TestRFC37_Messages_DeliveredAtomically(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		for _, cut := range []string{"01 05 'first'", "01 05 'first' 00 04 'la'", "01 05 'first' 02 00 00 00 00 00 10 00 00 'xx'", "01 05 'first' 01", "00 05"} {
			raw := rawPeer(t, endpoint, "PUSH")
			raw.SendMessage("whole", "message")
			raw.Send(cut)
			requireRecv(t, pull, "whole", "message")
			raw.Close()
			awaitAlone(t, pull)
		}
		requireNothing(t, pull)
		// One that comes in pieces is returned when it is whole, and others in the meantime.
		slow, other := rawPeer(t, endpoint, "PUSH"), rawPeer(t, endpoint, "PUSH")
		slow.SendFrame(sockettest.More, []byte("begin"))
		other.SendMessage("other")
		requireRecv(t, pull, "other")
		slow.SendFrame(0, []byte("end"))
		requireRecv(t, pull, "begin", "end")
	})
}

// RFC 37, Socket Semantics: all sockets SHALL accept connections and make connections.
// RFC 23, Socket Semantics: all sockets SHALL accept connections and make connections.
func TestRFC37_SocketSemantics_AcceptAndConnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, typ := range zmtpTypes {
			join(t, transport, typ.make(), zmtpTypes[typ.peer].make())
		}
	})
}

// RFC 37, Socket Semantics: all sockets SHALL connect asynchronously, and reconnect when the connection is broken.
// RFC 23, Socket Semantics: all sockets SHALL connect asynchronously, and reconnect when the connection is broken.
func TestRFC37_SocketSemantics_Opportunistic(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, typ := range zmtpTypes {
			s := typ.make(swift())
			closing(t, s)
			endpoint := unbound(t, transport)
			connect(t, s, endpoint)
			l := listenRaw(t, endpoint)
			for range 2 {
				raw := l.Peer(typ.peer)
				awaitPeers(t, s, 1)
				raw.Close()
				awaitAlone(t, s)
			}
			l.Peer(typ.peer)
			require.NoError(t, s.WaitPeers(limit(t), 1), name)
			l.Close()
		}
	})
}

// RFC 37, Socket Semantics: a message SHALL NOT be delivered more than once to any peer.
// RFC 37, Socket Semantics: all messages between two immediate peers SHALL be delivered in order.
// RFC 23, Socket Semantics: a message SHALL NOT be delivered more than once to any peer.
// RFC 23, Socket Semantics: all messages between two immediate peers SHALL be delivered in order.
func TestRFC37_SocketSemantics_OnceAndInOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(swift(), socket.WithLinger(0))
		closing(t, push)
		l := listenRaw(t, fresh(transport))
		connect(t, push, l.Endpoint)
		sent, last := 0, -1
		for round := range 20 {
			raw := l.Peer("PULL")
			for range 100 {
				send(t, push, fmt.Sprint(sent), strings.Repeat("x", sent%700))
				sent++
			}
			for range 50 {
				var n int
				_, err := fmt.Sscan(raw.ReadMessage()[0], &n)
				require.NoError(t, err)
				require.Greater(t, n, last, "round %d", round)
				last = n
			}
			raw.Read(round) // in the middle of one
			raw.Close()
		}
	})
}

// RFC 37, Heartbeating: SHALL answer PING with a PONG that echoes the context, which may be empty.
func TestRFC37_Heartbeating_PongEchoes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, typ := range zmtpTypes {
			for _, minor := range []byte{0, 1} {
				raw := dialRaw(t, bound(t, transport, typ.make()))
				raw.Handshake(typ.peer, minor)
				for _, context := range []string{"", "c", "sixteen octets!!", "\x00\xff"} {
					raw.SendCommand("PING", []byte("\x00\x00"+context))
					require.Equal(t, context, string(raw.ExpectCommand("PONG")), "from a %s", name)
				}
			}
		}
	})
}

// RFC 37, Heartbeating: the context of a PING MUST NOT exceed 16 octets.
func TestRFC37_Heartbeating_ContextIsShort(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull(socket.WithHeartbeat(10*time.Millisecond, time.Hour))
		endpoint := bound(t, transport, pull)
		raw := rawPeer(t, endpoint, "PUSH")
		for range 3 {
			ping := raw.ExpectCommand("PING")
			require.LessOrEqual(t, len(ping), 2+16)
			raw.SendCommand("PONG", ping[2:])
		}
		long := rawPeer(t, endpoint, "PUSH")
		long.SendCommand("PING", []byte("\x00\x00seventeen octets!"))
		require.NotContains(t, string(long.ExpectClosed()), "PONG")
	})
}

// RFC 37, Wire Analysis: on all connections the names of commands SHALL be visible and printable.
// RFC 23, Wire Analysis: on all connections the names of commands SHALL be visible and printable.
func TestRFC37_WireAnalysis_CommandNames(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		sub := socket.NewSub(socket.WithHeartbeat(10*time.Millisecond, time.Hour))
		raw := dialRaw(t, bound(t, transport, sub))
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		readyOf(raw, "PUB")
		awaitPeers(t, sub, 1)
		require.NoError(t, sub.Subscribe("A"))
		require.NoError(t, sub.Unsubscribe("A"))
		raw.SendCommand("PING", []byte("\x00\x00"))
		seen := map[string]bool{}
		for len(seen) < 5 {
			name, _ := raw.ReadCommand()
			seen[name] = true
		}
		require.Equal(t, map[string]bool{"READY": true, "SUBSCRIBE": true, "CANCEL": true, "PING": true, "PONG": true}, seen)
		dish := socket.NewDish()
		radio := rawPeer(t, bound(t, transport, dish), "RADIO")
		awaitPeers(t, dish, 1)
		require.NoError(t, dish.Join("g"))
		require.NoError(t, dish.Leave("g"))
		radio.Expect("04 06 04 'JOIN' 'g' 04 07 05 'LEAVE' 'g'")
	})
}
