package socket

import "time"

// Whoever sends one message after the other writes many at a time, and a receiver that is quick has nothing to return between two of those writes. If it acknowledged what it has then, as it does where it
// may be waited for, there would be an ACK for each write, and to read that takes the sender a tenth of its time. So in a stream ACKs are left for a moment, in which more comes or does not.

const (
	// lull is how long that is: several times what there is between two writes of a sender at full speed. To a sender that waits for hundreds of messages it is as long as ten times what those take: see fewTells.
	lull = 500 * time.Microsecond
	// streaming is how many messages make a stream. It is less than one such write has of short ones.
	streaming = 256
	// fewTells and manyTells are how often ACKs are not left any more when nothing came, at first and in the end: then the sender waits for them, as one does whose high-water mark is low.
	fewTells, manyTells = 4, 1024
	// enoughDues is after how many ACKs in a row that were due anyway, which only a stream brings, that is forgotten.
	enoughDues = 8
)

// leaving says of a connection whether ACKs are left. receiver.mu guards it.
type leaving struct {
	seen uint64 // messages that had come when it was looked at last
	wary int    // how often ACKs were not left the last time
	tell int    // and how often they are still not
	dues int    // ACKs that were due, since one was left in vain or told at once
}

// leave reports whether an ACK is left when Recv has nothing to return.
func (in *inbound) leave() bool {
	if in.state.Untold() < streaming || !in.state.Roomy() {
		return false
	}
	if in.leaving.tell > 0 {
		in.leaving.tell--
		in.leaving.dues = 0
		return false
	}
	return true
}

// due notes that an ACK was due.
func (l *leaving) due() {
	if l.dues++; l.dues >= enoughDues {
		l.wary = 0
	}
}

// comes reports whether more has come since it was asked the last time.
func (in *inbound) comes() bool {
	n := &in.leaving
	if got := in.state.Got(); n.seen != got {
		n.seen = got
		return true
	}
	if in.state.Untold() >= streaming {
		n.wary = min(max(2*n.wary, fewTells), manyTells)
		n.tell, n.dues = n.wary, 0
	}
	return false
}

// pauseLocked is for a Recv that has nothing to return: it tells peers what was acknowledged, if they may wait for it. r.mu is held.
func (r *receiver) pauseLocked() {
	if r.once != nil {
		r.urgeLocked()
		return
	}
	r.tellLocked((*inbound).leave)
	r.watchLocked()
}

// watchLocked has what is owed told when nothing comes for a while.
func (r *receiver) watchLocked() {
	a := &r.acks
	switch {
	case a.watching || a.stopped || len(a.owing) == 0:
		return
	case a.watch == nil:
		a.watch = time.AfterFunc(lull, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			a.watching = false
			r.tellLocked((*inbound).comes)
			r.watchLocked()
		})
	default:
		a.watch.Reset(lull)
	}
	a.watching = true
}
