package socket_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Connections that say nothing delay nobody.
func TestAttack01_Silence(t *testing.T) {
	assault(t, nil, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			for range 20 {
				b.dial()
			}
			b.serves() // also a PAIR: who says nothing takes no place
		})
	})
}

// inBubble binds a socket of each type over inproc, in a bubble of time.
func inBubble(t *testing.T, test func(t *testing.T, s anySocket, endpoint string, ev *events)) {
	for _, of := range makers {
		synctest.Test(t, func(t *testing.T) {
			ev := &events{}
			s := of(ev.option())
			defer s.Close()
			test(t, s, bind(t, s, "inproc://"+t.Name()), ev)
		})
	}
}

// Who says nothing, or one octet a second, is cut off after five seconds all the same.
func TestAttack02_DrippingGreeting(t *testing.T) {
	inBubble(t, func(t *testing.T, s anySocket, endpoint string, ev *events) {
		silent, drip := dialInproc(t, endpoint), dialInproc(t, endpoint)
		drip.Send("ff")
		for range 4 {
			after(time.Second)
			drip.Send("00")
		}
		assert.Empty(t, ev.of(socket.HandshakeFailed))
		after(time.Second)
		silent.ExpectClosed()
		drip.ExpectClosed()
		require.Len(t, ev.of(socket.HandshakeFailed), 2)
		assert.Equal(t, socket.RefusedTimeout, ev.of(socket.HandshakeFailed)[0].Refusal)
		assert.Equal(t, uint64(2), s.Stats().Refused[socket.RefusedTimeout])
	})
}

// The same with a crowd of them on the network: in the greeting, and behind it in READY.
func TestAttack02_DrippingHandshakes(t *testing.T) {
	const each = 4
	assault(t, nil, func(g *siege) {
		g.atOnce(socket.RefusedTimeout, 2*each, func(b *besieged) (wait func()) {
			say := map[*sockettest.RawPeer]string{}
			for i := range 2 * each {
				p := b.dial()
				say[p] = hello("NULL")
				if i%2 == 0 && !b.exclusive() { // who has greeted a PAIR is its peer to be, and others are turned away
					p.Write([]byte(hello("NULL")))
					say[p] = ready(b.peer, property("slow", strings.Repeat("x", 100)))
				}
			}
			var drip sync.WaitGroup
			drip.Go(func() { dripping(say) })
			return drip.Wait
		})
	}, socket.WithHandshakeTimeout(500*time.Millisecond))
}

// dripping has each peer write its text, an octet every 20 ms, until it is refused.
func dripping(say map[*sockettest.RawPeer]string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; len(say) > 0; i++ {
		<-tick.C
		for p, text := range say {
			_ = p.Conn().SetWriteDeadline(time.Now().Add(sockettest.Timeout))
			if _, err := p.Conn().Write([]byte{text[i%len(text)]}); err != nil {
				delete(say, p)
			}
		}
	}
}

// Thousands of handshakes that are begun from one address: they wait, or give way, not peers of other addresses.
func TestAttack03_HalfOpenHandshakes(t *testing.T) {
	const places, waiting = 16, 256 // SECURITY.md
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	assault(t, nil, func(g *siege) {
		before := openFiles()
		g.each(socket.RefusedHandshakes, 20, func(b *besieged) {
			count := 320
			if b.typ == "PULL" {
				count = 5000
			}
			var open []net.Conn
			for i := range count {
				conn, err := from.Dial("tcp", strings.TrimPrefix(b.bound, "tcp://"))
				if err != nil && i == 0 {
					t.Skip("there is no second address: ", err)
				}
				require.NoError(t, err)
				_, _ = conn.Write([]byte("\xff\x00\x00")) // it may be refused already
				if open = append(open, conn); len(open) > 300 {
					open[0].Close()
					open = open[1:]
				}
			}
			b.serves()
			if before > 0 {
				assert.Less(t, openFiles(), before+300+places+waiting+50, b.typ)
			}
			for _, conn := range open {
				conn.Close()
			}
		})
	}, socket.WithMaxHandshakes(places, 0))
}

// What is no ZMTP, from an SSH client to noise.
func TestAttack04_Garbage(t *testing.T) {
	assault(t, nil, func(g *siege) {
		garbage := []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "SSH-2.0-x\r\n", strings.Repeat("\x00", 64), strings.Repeat("\xa5\x5a", 32), strings.Repeat("\x1b[2J", 16),
			"\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7d" + strings.Repeat("\x00", 54)}
		g.each(socket.RefusedNotZMTP, len(garbage), func(b *besieged) {
			for _, s := range garbage {
				tell(b.dial(), s)
			}
		})
	})
}

// A mechanism that is not ours is refused: CURVE where there is NULL, one that nobody knows.
func TestAttack06_AnotherMechanism(t *testing.T) {
	assault(t, nil, func(g *siege) {
		others := []string{"CURVE", "PLAIN", "GSSAPI", "NULLX", "", "\x1b[2J", strings.Repeat("X", 20)}
		g.each(socket.RefusedMechanism, len(others), func(b *besieged) {
			for _, m := range others {
				tell(b.dial(), hello(m)+ready(b.peer))
			}
		})
	})
}

// READY that claims more than it has, or is cut off.
func TestAttack13_MalformedReady(t *testing.T) {
	assault(t, nil, func(g *siege) {
		readies := []string{
			"\x00\x00\x00\x00\x01x", "\xff", "\xffshort", "\x0bSocket-Type\x7f\xff\xff\xff", "\x0bSocket-Type\xff\xff\xff\xff", "\x0bSocket-Type\x00\x00",
			property("X y", "no blank in a name"), property("\x1b[2J", "nor this"),
		}
		g.each(socket.RefusedProtocol, len(readies), func(b *besieged) {
			for _, r := range readies {
				tell(b.dial(), hello("NULL")+command("READY", r))
			}
		})
	})
}

// More properties than there may be, or one twice.
func TestAttack14_ManyProperties(t *testing.T) {
	assault(t, nil, func(g *siege) {
		var many strings.Builder
		for i := range 10_000 {
			many.WriteString(property("X-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), ""))
			if i == 32 {
				tooMany := many.String()
				g.each(socket.RefusedProperties, 1, func(b *besieged) { tell(b.dial(), hello("NULL")+command("READY", tooMany)) })
			}
			if many.Len() > 1<<20 {
				break
			}
		}
		g.each(socket.RefusedProperties, 1, func(b *besieged) { tell(b.dial(), hello("NULL")+command("READY", many.String())) })
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.dial(), hello("NULL")+ready(b.peer, property("SOCKET-TYPE", b.peer))) })
	})
}

// READY again, at once or in the middle of a conversation.
func TestAttack15_ReadyTwice(t *testing.T) {
	assault(t, nil, func(g *siege) {
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.dial(), hello("NULL")+ready(b.peer)+ready(b.peer)) })
		g.each(socket.RefusedProtocol, 1, func(b *besieged) {
			p := b.enter()
			p.SendCommand("PING", []byte("\x00\x00x"))
			tell(p, ready(b.peer))
		})
	})
}

// Types that may not talk to ours, that there are none of, or that are meant for the terminal of who reads the log.
func TestAttack16_SocketTypes(t *testing.T) {
	assault(t, nil, func(g *siege) {
		odd := []string{"", "push", "PUSH\x00", "\x00", "\x1b[2J\x07", "NO\r\nSUCH", strings.Repeat("X", 1000), "STREAM"}
		g.each(socket.RefusedSocketType, len(odd), func(b *besieged) {
			for _, typ := range odd {
				tell(b.dial(), hello("NULL")+ready(typ))
			}
		})
		g.each(socket.RefusedSocketType, 1, func(b *besieged) {
			unfit := "PUSH"
			if b.peer == unfit {
				unfit = "SUB"
			}
			tell(b.dial(), hello("NULL")+ready(unfit))
		})
	})
}

// Identities that are too long, that are a ROUTER's to give, or that another has.
func TestAttack17_Identities(t *testing.T) {
	assault(t, identified, func(g *siege) {
		for _, id := range []string{strings.Repeat("i", 256), "\x00", "\x00\x00\x00\x00\x01", "\x00\x1b[2J"} {
			g.each(socket.RefusedIdentity, 1, func(b *besieged) { tell(b.dial(), hello("NULL")+ready(b.peer, property("Identity", id))) })
		}
	})

	assault(t, types{"ROUTER"}, func(g *siege) {
		g.each(socket.RefusedIdentity, 2, func(b *besieged) {
			first := b.enter(sockettest.Property{Name: "Identity", Value: "mine"})
			router := b.socket.(*socket.Router)
			require.NoError(t, router.WaitPeers(limit(t), 1))
			tell(b.dial(), hello("NULL")+ready(b.peer, property("Identity", "mine")))
			tell(b.dial(), hello("NULL")+ready(b.peer, property("Identity", "eleven long")))
			require.NoError(t, router.Send(limit(t), text("mine"), text("for the first")))
			assert.Equal(t, []string{"for the first"}, first.ReadMessage())
		})
	}, socket.WithHandover(false), socket.WithMaxIdentity(10))
}
