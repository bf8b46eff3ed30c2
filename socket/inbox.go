package socket

import "github.com/meshmq/meshmq/socket/internal/link"

// deliver puts a batch into the peer's inbox and wakes one caller, unless it is one who read it, who wakes the next if more is there.
func (r *receiver) deliver(p *pipe, b link.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.c.cfg.conflate {
		r.conflate(p, b)
		return
	}
	if in := p.inbound.Load(); in != nil {
		r.admitLocked(in, b)
	} else {
		r.put(p, b, p.peer.Load())
	}
	if r.high(p) {
		p.paused.Store(true)
	}
}

// note delivers what a peer caused and all of whose kind is to be received in order: it goes to an inbox of its own, and the peer is read
// no further while that one is full.
func (r *receiver) note(p *pipe, b link.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(r.notes, b, p.peer.Load())
	if r.high(r.notes) && !p.paused.Swap(true) {
		r.noters = append(r.noters, p)
	}
}

// conflate has the last message of a batch take the place of what waits in the peer's inbox. r.mu is held.
func (r *receiver) conflate(p *pipe, b link.Batch) {
	msgs, bytes := b.Msgs, b.Bytes
	wanted := b.Last(r.wanted)
	if wanted == 0 {
		return
	}
	p.totalIn += uint64(msgs - b.Msgs)
	p.totalInB += uint64(bytes - b.Bytes)
	r.c.drop(p, DropConflated, p.inMsgs+wanted-1)
	clear(p.inbox)
	p.inbox, p.next, p.inMsgs, p.inBytes, p.inHeld = p.inbox[:0], 0, 0, 0, 0
	r.put(p, b, p.peer.Load())
}

// put puts a batch of messages that need no acknowledgement into p's inbox. r.mu is held.
func (r *receiver) put(p *pipe, b link.Batch, peer *Peer) {
	from := p.from
	if from == nil || from.peer != peer || from.lease != b.Lease {
		from = &origin{source: &source{peer: peer, lease: b.Lease}}
		if !b.Lease.HasBodies() { // those of a single message are not to be held longer than that
			p.from = from
		}
	}
	r.arriveLocked(p, arrival{batch: b, source: from.source, from: from})
}

func (r *receiver) arriveLocked(p *pipe, a arrival) {
	b := &a.batch
	a.held = b.Held()
	p.inbox = append(p.inbox, a)
	p.inMsgs += b.Msgs
	p.inBytes += b.Bytes
	p.inHeld += a.held
	p.totalIn += uint64(b.Msgs)
	p.totalInB += uint64(b.Bytes)
	r.enterLocked(p)
	if !p.own {
		r.wait.wake()
	}
}
