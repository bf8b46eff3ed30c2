package socket

import (
	"fmt"
	"math"
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
