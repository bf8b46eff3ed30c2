package socket

import "sync"

// receiverLock is the lock of a receiver. Under the embedded Mutex alone Recv takes messages of a portion, with nothing but their frames and a count; whoever takes the lock by Lock
// finds them entered in the books, and the portion ended.
type receiverLock struct {
	sync.Mutex
	portion portion
}

// Lock takes the lock.
func (l *receiverLock) Lock() {
	l.Mutex.Lock()
	l.enter()
}

// enter ends the portion, if there is one. The lock is held.
func (l *receiverLock) enter() {
	if l.portion.of != nil {
		l.portion.end()
	}
}

// portion is how many more messages of the batch that is being used up callers of Recv may have one after the other, before anything is to be decided: whose turn it is, who waits, whether
// the peer is read on, and where messages are acknowledged by asking for the next, whether the peer is to be told.
type portion struct {
	left, most int
	bytes      int      // of what was taken
	of         *arrival // nil when there is no portion
	r          *receiver

	// Where each message is acknowledged by who takes the next, in order:
	acking bool
	byRecv bool // by Recv, to which it makes no difference who calls; else by a loop that names what it had last
	size   int  // of the message that is acknowledged next
	acked  int  // bytes that were
	enough int  // and how many are too many
}

// inPortions reports whether messages may come in portions: where nothing is to be done about each but to acknowledge it by asking for the next.
func (r *receiver) inPortions() bool {
	return r.frames == 0 && r.once == nil && r.leases == nil && !r.c.cfg.ackManually
}

// next takes one more message, if there is a portion for a loop that had done last, or nothing that is to be acknowledged, or for Recv. If not, it leaves with r.mu held.
func (r *receiver) next(done *origin, byRecv bool) (m Msg, p *pipe, ok bool) {
	r.mu.Mutex.Lock()
	n := &r.mu.portion
	if n.left == 0 || !r.wantsAll() || byRecv && !n.byRecv || !byRecv && done != nil && !n.acking {
		r.mu.enter()
		return m, nil, false
	}
	a := n.of
	if n.acking {
		if !byRecv && done != r.acks.newest() || n.acked+n.size >= n.enough {
			r.mu.enter()
			return m, nil, false
		}
		n.acked += n.size
	}
	n.left--
	frames, size := a.batch.Next(&r.slab, r.lead)
	if r.lead > 0 {
		frames[0] = r.routingID(a.source.peer)
	}
	n.bytes += size
	n.size = size
	if m.from = a.from; n.acking {
		m.from = r.acks.origin(a, size)
	}
	m.Frames, p = frames, r.turn
	r.mu.Unlock()
	return m, p, true
}

// portionLocked begins a portion behind a message that was just taken, of those that may come in one. r.mu is held, and is let go next.
func (r *receiver) portionLocked(last *origin, byRecv bool) {
	p := r.turn
	if p == nil || p == r.notes || !r.inPortions() || !r.wantsAll() || r.wait.head != nil || len(r.missed) > 0 {
		return
	}
	a := &p.inbox[p.next]
	n := portion{left: a.batch.Msgs - 1, of: a, r: r, acking: a.from == nil, byRecv: byRecv} // the last ends the turn
	if p.paused.Load() && r.hwm > 0 {
		n.left = min(n.left, p.inMsgs-r.hwm/2-1)
	}
	if n.acking != (last != nil) {
		return
	}
	if in := a.source.in; n.acking {
		if last != r.acks.newest() || last.in != in || !in.open || a.again {
			return
		}
		more, enough := in.state.Ahead(last.tag())
		n.left = min(n.left, int(min(more, uint64(a.until-a.nth))))
		n.size, n.enough = int(last.size), enough
	}
	if n.left > 0 {
		n.most = n.left
		r.mu.portion = n
	}
}

// wantsAll reports whether there is nothing to be left out of what has arrived.
func (r *receiver) wantsAll() bool { return r.wanted == nil || r.all != nil && r.all.Load() }

// end enters what was taken. The lock is held.
func (n *portion) end() {
	taken, bytes, r := n.most-n.left, n.bytes, n.r
	if n.acking && taken > 0 {
		n.of.source.in.state.NextFew(uint64(taken), n.acked)
		r.acks.counts.AckedIn += uint64(taken)
		if n.byRecv {
			r.acks.last = r.acks.newest()
		}
	}
	*n = portion{}
	p := r.turn
	p.inMsgs -= taken
	p.inBytes -= bytes
	r.msgs += uint64(taken)
	r.bytes += uint64(bytes)
}
