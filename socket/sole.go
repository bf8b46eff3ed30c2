package socket

// Where messages are acknowledged, Send may queue at the only peer without the lock of the balancer, too, as long as there is nothing to think about: nothing comes before
// what is new, and nothing holds it up. The queue counts the numbers of the stream then. Whoever holds the lock and wants to know them, or changes any of this, calls recall first.

// entrustLocked leaves new messages to the queue of p, which has got the last one, if it may have the next without being asked. b.mu is held.
func (b *balancer) entrustLocked(p *pipe) {
	if b.err == nil && b.ring.Len() == 1 && len(b.sure.again) == 0 && len(b.sure.held) == 0 {
		p.out.Open(true)
		b.sole.Store(p)
	}
}

// sendSole queues a message at the only peer without b.mu.
func (b *balancer) sendSole(p *pipe, frames [][]byte, size int) (took, flush bool) {
	if b.heeds && p.refuses(extentOf(frames, size)) != nil {
		return false, false
	}
	takes := 0
	if peer := p.peer.Load(); peer != nil {
		takes = peer.takesAny
	}
	if b.sure == nil {
		return p.out.AppendOpen(frames, size, takes)
	}
	return p.out.DeliverOpen(frames, size, takes)
}

// recall has Send take b.mu again, which is held, and enters in the books what was sent without.
func (b *balancer) recall() {
	p := b.sole.Swap(nil)
	if p == nil {
		return
	}
	last := p.out.Recall()
	p.sent.Load().given += int(last - b.sure.number)
	b.sure.number = last
}
