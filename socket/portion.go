package socket

import (
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// receiverLock is the lock of a receiver. Under the embedded Mutex alone Recv takes messages of a portion, with nothing but their frames and a count; whoever takes the lock by Lock
// finds them entered in the books, and the portion ended.
type receiverLock struct {
	sync.Mutex
	portion portion
}

// Lock takes the lock.
func (l *receiverLock) Lock() {
	l.Mutex.Lock()
	if l.portion.batch != nil {
		l.portion.end()
	}
}

// portion is how many more messages of the batch that is being used up callers of Recv may have one after the other, before anything is to be decided: whose turn it is, who waits, and
// whether the peer is read on.
type portion struct {
	left, most int
	bytes      int         // of what was taken
	batch      *link.Batch // nil when there is no portion
	from       *origin     // of all of its messages
	r          *receiver
}

// next takes one more message, if there is a portion.
func (r *receiver) next() (m Msg, p *pipe, ok bool) {
	r.mu.Mutex.Lock()
	n := &r.mu.portion
	if n.left == 0 || !r.wantsAll() {
		r.mu.Unlock()
		return m, nil, false
	}
	n.left--
	frames, size := n.batch.Next(&r.slab, 0)
	n.bytes += size
	m, p = Msg{Frames: frames, from: n.from}, r.turn
	r.mu.Unlock()
	return m, p, true
}

// portionLocked begins a portion behind a message that was just taken, of those that may come in one. r.mu is held, and is let go next.
func (r *receiver) portionLocked() {
	p := r.turn
	if p == nil || p == r.notes || !r.wantsAll() || r.wait.head != nil || len(r.missed) > 0 {
		return
	}
	a := &p.inbox[p.next]
	n := a.batch.Msgs - 1 // the last ends the turn
	if p.paused.Load() && r.hwm > 0 {
		n = min(n, p.inMsgs-r.hwm/2-1)
	}
	if n > 0 && a.from != nil {
		r.mu.portion = portion{left: n, most: n, batch: &a.batch, from: a.from, r: r}
	}
}

// wantsAll reports whether there is nothing to be left out of what has arrived.
func (r *receiver) wantsAll() bool { return r.wanted == nil || r.all != nil && r.all.Load() }

// end enters what was taken. The lock is held.
func (n *portion) end() {
	taken, bytes, r := n.most-n.left, n.bytes, n.r
	*n = portion{}
	p := r.turn
	p.inMsgs -= taken
	p.inBytes -= bytes
	r.msgs += uint64(taken)
	r.bytes += uint64(bytes)
}
