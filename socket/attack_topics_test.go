package socket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/socket"
)

// published are the types that topics or groups are asked of.
var published = types{"PUB", "XPUB", "RADIO"}

// asks is the command for a topic, and takes the one that takes it back.
func (b *besieged) asks(topic string) string {
	if b.typ == "RADIO" {
		return command("JOIN", topic)
	}
	return command("SUBSCRIBE", topic)
}

func (b *besieged) takes(topic string) string {
	if b.typ == "RADIO" {
		return command("LEAVE", topic)
	}
	return command("CANCEL", topic)
}

func (b *besieged) topics() int { return b.socket.(interface{ TopicCount() int }).TopicCount() }

// taking receives what an XPUB has to show, so that it goes on reading.
func (b *besieged) drain(t *testing.T) {
	if s, ok := b.socket.(*socket.XPub); ok {
		for {
			if _, err := s.Recv(try()); err != nil {
				return
			}
		}
	}
}

// Topics that are too long, asked for or taken back; and topics within topics as deep as they go.
func TestAttack19_LongTopics(t *testing.T) {
	assault(t, published, func(g *siege) {
		for _, long := range []string{strings.Repeat("t", 1025), strings.Repeat("t", 20<<10)} {
			g.each(socket.RefusedTopics, 2, func(b *besieged) {
				tell(b.enter(), b.asks(long))
				tell(b.enter(), b.takes(long))
			})
		}
		g.each(socket.RefusedSize, 2, func(b *besieged) {
			tell(b.enter(), b.asks(strings.Repeat("t", 16<<20)))
			tell(b.enter(), b.takes(strings.Repeat("t", 16<<20)))
		})
		g.each(0, 0, func(b *besieged) {
			p := b.enter()
			for n := range 250 {
				p.Write([]byte(b.asks(strings.Repeat("t", n+1))))
			}
			b.during(p)
			assert.Equal(t, 250, b.topics(), b.typ)
			for n := range 250 {
				p.Write([]byte(b.takes(strings.Repeat("t", n+1))))
			}
			b.during(p)
			assert.Zero(t, b.topics(), b.typ)
			b.drain(t)
		})
		for _, b := range g.victims {
			b.drain(t)
		}
	}, socket.WithRecvHWM(0))
}

// More topics than a peer may have, or more bytes of them.
func TestAttack20_ManySubscriptions(t *testing.T) {
	assault(t, published, func(g *siege) {
		g.each(socket.RefusedTopics, 1, func(b *besieged) {
			var all strings.Builder
			for n := range 20_000 {
				all.WriteString(b.asks(fmt.Sprint(n)))
			}
			tell(b.enter(), all.String())
			b.drain(t)
		})
		g.each(socket.RefusedTopics, 1, func(b *besieged) {
			size, count := 1<<10, 5000
			if b.typ == "RADIO" {
				size, count = 255, 20_000
			}
			var all strings.Builder
			for n := range count {
				all.WriteString(b.asks(fmt.Sprintf("%0*d", size, n)))
			}
			tell(b.enter(), all.String())
			b.drain(t)
		})
		for _, b := range g.victims {
			b.settled(func() bool { b.drain(t); return b.topics() == 0 })
		}
	}, socket.WithRecvHWM(0), socket.WithMaxSubscriptions(15_000))
}

// To take back what was not asked for, or more often than it was, is of no consequence.
func TestAttack21_Cancellations(t *testing.T) {
	assault(t, published, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			p, other := b.enter(), b.enter()
			other.Write([]byte(b.asks("theirs")))
			b.during(other)
			p.Write([]byte(b.takes("never") + b.takes("") + b.takes("theirs")))
			p.Write([]byte(strings.Repeat(b.asks("t"), 100) + strings.Repeat(b.takes("t"), 101)))
			b.during(p)
			assert.Equal(t, 1, b.topics(), b.typ)
			p.Write([]byte(b.asks("t")))
			b.during(p)
			assert.Equal(t, 2, b.topics(), b.typ)
			b.drain(t)
		})
		for _, b := range g.victims {
			b.settled(func() bool { b.drain(t); return b.topics() == 0 })
		}
	})
}

// Subscriptions of ZMTP 3.0, which are messages, in all the forms that they may not have.
func TestAttack22_LegacySubscriptions(t *testing.T) {
	odd := []string{aFrame(0, ""), aFrame(1, "") + aFrame(0, ""), aFrame(1, "\x01t") + aFrame(0, "more"), aFrame(1, "") + aFrame(0, "\x01t"), aFrame(0, "\x02t"), aFrame(0, "\x00never")}
	assault(t, publishers, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			p := b.dial()
			p.Handshake(b.peer, 0)
			for _, m := range odd {
				p.Write([]byte(m))
			}
			p.Write([]byte(aFrame(0, "\x01mine")))
			b.during(p)
			assert.Equal(t, 1, b.topics(), b.typ)
			b.drain(t)
		})
		g.each(socket.RefusedTopics, 1, func(b *besieged) {
			p := b.dial()
			p.Handshake(b.peer, 0)
			tell(p, aFrame(0, "\x01"+strings.Repeat("t", 1025)))
		})
		for _, b := range g.victims {
			b.settled(func() bool { b.drain(t); return b.topics() == 0 })
		}
	})
}
