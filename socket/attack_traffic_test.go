package socket_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Lengths that no message has, or none that is allowed.
func TestAttack08_ClaimedLengths(t *testing.T) {
	claims := map[uint64]socket.Refusal{
		1 << 63: socket.RefusedProtocol, 1 << 62: socket.RefusedSize, 1 << 48: socket.RefusedSize, 1 << 31: socket.RefusedSize, 1<<20 + 5: socket.RefusedSize, // REQ and REP may have an id of 4 octets besides
	}
	assault(t, nil, func(g *siege) {
		for claim, want := range claims {
			g.each(want, 1, func(b *besieged) {
				p := b.enter()
				before := allocated()
				tell(p, string(longHeader(claim)))
				assert.Less(t, allocated()-before, uint64(256<<10), "%s: %d", b.typ, claim) // the test's own and a good deal of noise are in it
			})
		}
	}, socket.WithMaxMessageSize(1<<20))
}

// The largest message is announced, ten bytes of it come, and then nothing: it holds little, and not for long.
func TestAttack09_StalledMessage(t *testing.T) {
	const peers = 5
	assault(t, nil, func(g *siege) {
		before, all := held(), 0
		for _, b := range g.victims {
			for range peers {
				if b.exclusive() && len(b.open) > 0 {
					break
				}
				b.enter().Write(append(longHeader(64<<20), "ten bytes!"...))
				all++
			}
		}
		for _, b := range g.victims {
			if !b.exclusive() {
				b.serves()
			}
		}
		const connection, reserve = 16 << 10, 16 << 20 // both ends of one; what a process that was busy before holds back (doc.go)
		assert.Less(t, held(), before+uint64(all)*(64<<10+connection)+reserve)
		g.each(0, 0, func(b *besieged) {
			for _, p := range b.open {
				p.ExpectClosed() // for its silence
			}
		})
	}, socket.WithHeartbeat(50*time.Millisecond, 500*time.Millisecond))
}

func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Flags that there are none of.
func TestAttack10_ReservedFlags(t *testing.T) {
	flags := []string{"\x08\x00", "\x10\x00", "\x80\x00", "\x0a\x00\x00\x00\x00\x00\x00\x00\x00", "\xff\xff"}
	assault(t, nil, func(g *siege) {
		for _, f := range flags {
			g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.enter(), f) })
		}
	})
}

// MORE on a command ends the connection; a whole command between two frames of a message is none the worse for its place.
func TestAttack11_CommandsOutOfPlace(t *testing.T) {
	assault(t, nil, func(g *siege) {
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.enter(), "\x05\x07\x04PING\x00\x00") })
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.enter(), "\x04\x02\x09P") })
		g.each(0, 0, func(b *besieged) {
			p := b.enter()
			p.Send("01 01 'a'" + pingX)
			for name := ""; name != "PONG"; { // behind what the socket itself has to say
				name, _ = p.ReadCommand()
			}
		})
	})
}

// A message that never ends.
func TestAttack12_EndlessMore(t *testing.T) {
	assault(t, nil, func(g *siege) {
		g.each(socket.RefusedFrames, 1, func(b *besieged) { tell(b.enter(), strings.Repeat("\x01\x01x", 3000)) })
		g.each(socket.RefusedFrames, 1, func(b *besieged) { tell(b.enter(), strings.Repeat("\x01\x00", 3000)) })
	})
}

// PINGs that are too long, too many PINGs, and PONGs that nobody asked for.
func TestAttack18_Pings(t *testing.T) {
	assault(t, nil, func(g *siege) {
		g.each(socket.RefusedProtocol, 2, func(b *besieged) {
			tell(b.enter(), command("PING", "\x00\x00seventeen octets!"))
			tell(b.enter(), command("PONG", strings.Repeat("x", 17)))
		})
		g.each(socket.RefusedPings, 1, func(b *besieged) { tell(b.enter(), strings.Repeat(command("PING", "\x00\x00x"), 20_000)) })
		g.each(0, 0, func(b *besieged) {
			p := b.enter()
			p.Write([]byte(strings.Repeat(command("PONG", "12345678"), 10_000)))
			b.during(p)
		})
	}, socket.WithMaxPings(100))
}

// during waits until all that p sent is dealt with.
func (b *besieged) during(p *sockettest.RawPeer) {
	b.t.Helper()
	p.SendCommand("PING", []byte("\x00\x00done"))
	for {
		f := p.ReadFrame()
		if f.Flags&sockettest.Command != 0 && string(f.Body) == "\x04PONGdone" {
			return
		}
	}
}

// Messages to those who receive none are read, dropped and counted.
func TestAttack23_UnwantedMessages(t *testing.T) {
	const count = 20_000
	message := aFrame(0, strings.Repeat("m", 100))
	assault(t, mute, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			before := b.socket.Stats().Dropped[socket.DropUnwanted]
			p := b.enter()
			p.Write([]byte(strings.Repeat(message, count)))
			b.serves()
			b.during(p)
			assert.Equal(t, before+count, b.socket.Stats().Dropped[socket.DropUnwanted], b.typ)
		})
	})
}

// A peer that reads nothing costs as much memory as the high-water marks say, and the others nothing.
func TestAttack43_SlowConsumer(t *testing.T) {
	const most, count = 1 << 20, 3000
	body := make([]byte, 4<<10)
	assault(t, types{"PUSH", "DEALER", "SCATTER", "PUB", "XPUB", "ROUTER", "SERVER"}, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			slow, good := b.enter(), b.enter()
			var reading sync.WaitGroup
			defer reading.Wait()
			defer good.Close()
			reading.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					if n, err := good.Conn().Read(buf); n == 0 && err != nil {
						return
					}
				}
			})
			if b.typ == "PUB" || b.typ == "XPUB" {
				slow.Subscribe("")
				good.Subscribe("")
				require.NoError(t, b.socket.(interface {
					WaitSubscribers(ctx context.Context, topic string, n int) error
				}).WaitSubscribers(limit(t), "", 2))
			}
			require.NoError(t, b.socket.WaitPeers(limit(t), 2))
			peers := b.socket.(interface{ Peers() []*socket.Peer }).Peers()
			for i := range count {
				require.NoError(t, b.sendOne(peers, i, body))
			}
			for _, p := range b.socket.Stats().Peers {
				assert.LessOrEqual(t, p.QueueBytes, most+len(body), b.typ)
			}
		})
	}, socket.WithSendHWMBytes(most), socket.WithSendHWM(0), socket.WithRecvHWM(10))
}

// sendOne sends a message, to one of the peers or to whom the type chooses. Full queues are no errors.
func (b *besieged) sendOne(peers []*socket.Peer, i int, body []byte) (err error) {
	switch s := b.socket.(type) {
	case *socket.Router:
		err = s.Send(try(), text(peers[i%len(peers)].RoutingID()), body)
	case *socket.Server:
		err = s.Send(try(), peers[i%len(peers)].Number(), body)
	case *socket.Scatter:
		err = s.Send(try(), body)
	case sender:
		err = s.Send(try(), body)
	default:
		return fmt.Errorf("%s sends nothing", b.typ)
	}
	if errors.Is(err, socket.ErrFull) {
		return nil
	}
	return err
}

// Connections that are reset behind every octet of a message: nothing of it is delivered.
func TestAttack44_Resets(t *testing.T) {
	message := "\x01\x02ab" + "\x03\x00\x00\x00\x00\x00\x00\x00\x03cde" + command("PING", "\x00\x00x") + "\x00\x01f"
	assault(t, receivers, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			for cut := range len(message) {
				p := b.enter()
				p.Write([]byte(message[:cut]))
				p.Reset()
			}
			b.serves()
			m, err := b.socket.(recver).Recv(soon(t))
			require.Error(t, err, "%s: %q", b.typ, m.Frames)
		})
	})
}
