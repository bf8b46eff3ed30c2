package socket

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// What peers take that acknowledge messages. A message above that ends the connection, and all that was on its way comes back, it as well; sent again and again, it would
// keep everything behind it from getting anywhere. So it is not sent there: its sender is told, or it counts as a failed delivery.

// refuses returns why the peer would not take a message of that size, as far as it is known.
func (p *pipe) refuses(size int) error {
	peer := p.peer.Load()
	if peer == nil || peer.takes == 0 || size <= peer.takes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, %s takes at most %d", ErrTooLarge, size, peer.address, peer.takes)
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
	for i, limit := range []*int{&p.takes, &p.takesFrame} {
		if i < len(words) {
			if n, err := strconv.Atoi(words[i]); err == nil && n > 0 {
				*limit = n
			}
		}
	}
}

// refusesFrames is refuses for each of the frames of a message, too.
func (p *pipe) refusesFrames(frames [][]byte, size int) error {
	if err := p.refuses(size); err != nil {
		return err
	}
	peer := p.peer.Load()
	if peer == nil || peer.takesFrame == 0 {
		return nil
	}
	for _, f := range frames {
		if len(f) > peer.takesFrame {
			return fmt.Errorf("%w: a frame of %d bytes, %s takes at most %d", ErrTooLarge, len(f), peer.address, peer.takesFrame)
		}
	}
	return nil
}

// elsewhereLocked returns nil if a peer is connected that takes a message of that size, which is then waited for, though others have room; else why.
func (a *assured) elsewhereLocked(to string, size int, why error) error {
	if to != "" {
		return why
	}
	for p := range a.pipes {
		if p.refuses(size) == nil {
			if !a.picky {
				a.picky = true
				a.wait.wakeAll() // others may be content with the room that there is, of which only one was told
			}
			return nil
		}
	}
	return why
}

// wakeLocked has a caller of Send look again, since there is room, or all of them where it may not do for the first.
func (b *balancer) wakeLocked() {
	if b.sure != nil && b.sure.picky {
		b.sure.picky = false
		b.wait.wakeAll()
		return
	}
	b.wait.wake()
}

// fittingLocked returns a peer that has room and takes a message of that size, else p.
func (b *balancer) fittingLocked(p *pipe, size int) *pipe {
	load := func(p *pipe) int {
		if p.refuses(size) != nil {
			return math.MaxInt
		}
		return p.outstanding()
	}
	if other, _ := b.ring.Least(b.ring.Active(), load); load(other) < math.MaxInt {
		return other
	}
	return p
}
