package socket

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// What peers take that acknowledge messages, or have WithPeerLimits. A message above that ends the connection. What else was on it is lost, or comes back where it is acknowledged, the message as
// well; sent again and again, it would keep everything behind it from getting anywhere. So it is not sent there: its sender is told, or it counts as a failed delivery.

// extent is how large a message is, or may be: the bytes of its frames together, and those of the largest of them.
type extent struct{ size, frame int }

// extentOf is for a message whose size is known.
func extentOf(frames [][]byte, size int) extent {
	if len(frames) == 1 {
		return extent{size, size}
	}
	e := extent{size: size}
	for _, f := range frames {
		e.frame = max(e.frame, len(f))
	}
	return e
}

// least returns the smaller bound of the two, where zero is none.
func (e extent) least() int {
	if e.size == 0 || e.frame > 0 && e.frame < e.size {
		return e.frame
	}
	return e.size
}

// refuses returns why the peer would not take such a message, as far as it is known: what it said on the connection, or on the last one.
func (p *pipe) refuses(e extent) error {
	if peer := p.peer.Load(); peer != nil && peer.takesAny > 0 && e.size > peer.takesAny {
		return peer.refuses(e)
	}
	return nil
}

func (p *Peer) refuses(e extent) error {
	switch {
	case p.takes.size > 0 && e.size > p.takes.size:
		return fmt.Errorf("%w: %d bytes, %s takes at most %d", ErrTooLarge, e.size, p.address, p.takes.size)
	case p.takes.frame > 0 && e.frame > p.takes.frame:
		return fmt.Errorf("%w: a frame of %d bytes, %s takes at most %d", ErrTooLarge, e.frame, p.address, p.takes.frame)
	}
	return nil
}

// limitsProperty is the property in READY by which a socket with WithPeerLimits says what it takes: the bytes of a message and of a frame at most, as two decimal
// numbers, zero for no bound. More words are of versions to come.
const limitsProperty = "X-Mesh-Limits"

func (c *config) appendLimits(dst []byte) []byte {
	return fmt.Appendf(dst, "%d %d", c.maxMessageSize, c.maxFrameSize)
}

// learnLimits reads what the peer said that it takes. What is no number says nothing.
func (p *Peer) learnLimits() {
	value, _ := p.metadata.Get(limitsProperty)
	words := strings.Fields(string(value))
	for i, limit := range []*int{&p.takes.size, &p.takes.frame} {
		if i < len(words) {
			if n, err := strconv.Atoi(words[i]); err == nil && n > 0 {
				*limit = n
			}
		}
	}
}

// elsewhere reports whether there is a peer that takes such a message, which is then waited for, though others have room.
func (b *balancer) elsewhere(e extent) bool {
	if !b.ring.Any(func(p *pipe) bool { return p.refuses(e) == nil }) {
		return false
	}
	if !b.picky {
		b.picky = true
		b.wait.wakeAll() // others may be content with the room that there is, of which only one was told
	}
	return true
}

// wakeLocked has a caller of Send look again, since there is room, or all of them where it may not do for the first.
func (b *balancer) wakeLocked() {
	if b.picky {
		b.picky = false
		b.wait.wakeAll()
		return
	}
	b.wait.wake()
}

// fittingLocked returns a peer that has room and takes such a message, else p.
func (b *balancer) fittingLocked(p *pipe, e extent) *pipe {
	load := func(p *pipe) int {
		switch {
		case p.refuses(e) != nil:
			return math.MaxInt
		case b.sure != nil:
			return p.outstanding()
		case b.c.cfg.leastOutstanding:
			return queued(p)
		}
		return 0
	}
	if other, _ := b.ring.Least(b.ring.Active(), load); load(other) < math.MaxInt {
		return other
	}
	return p
}
