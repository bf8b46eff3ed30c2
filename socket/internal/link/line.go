package link

import (
	"sync"
	"sync/atomic"
)

// Line is where the queues of a socket with many peers wait until they are written. Were each written by its own pump, ten thousand
// pumps would leave whoever sends a ten-thousandth of the processors: each write would take one message. In line messages gather,
// the more the longer it is. Few pumps at a time hold a place at its head; such a pump writes for all in line, as far as that is
// possible without blocking, so that a peer which does not read keeps nobody. What is left its own pump writes.
//
// Invariant: while somebody waits in line, at least one place is held.
type Line struct {
	// Set before use.
	Places int    // how many pumps may write for all at a time
	From   int    // how many connections make a line: those of fewer are written by their own pumps
	pumps  *pumps // of the process; nil: process

	members atomic.Int32 // queues with a connection
	calm    calm         // of all queues, in line or not
	heated  atomic.Bool  // there are some in hot

	mu         sync.Mutex // guards the fields below; nothing else is taken under it
	held       int
	head, tail *Out
	hot, cold  []*Out // queues that somebody filled since FlushHot; room for the next of them
}

// Long reports whether there are enough connections for their queues to wait.
func (l *Line) Long() bool { return l != nil && int(l.members.Load()) >= l.From }

// join puts o, whose lock is held, at the end, unless a place is free, which its pump has then.
func (l *Line) join(o *Out) (place bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held < l.Places {
		l.held++
		return true
	}
	if l.tail == nil {
		l.head = o
	} else {
		l.tail.behind = o
	}
	l.tail = o
	return false
}

// next takes the first out of line. If there is none, the caller's place is free.
func (l *Line) next() *Out {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.head
	if o == nil {
		l.held--
		return nil
	}
	if l.head = o.behind; l.head == nil {
		l.tail = nil
	}
	o.behind = nil
	return o
}

// pass gives the caller's place to the pump of who is next and has one that sleeps: the others look for themselves before they do.
func (l *Line) pass() {
	for o := l.next(); o != nil; o = l.next() {
		o.mu.Lock()
		o.lined = false
		if o.asleep && !o.stopping {
			o.place = true
			o.rouseLocked()
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}

// serve writes for o, whose pump has a place, and then for who is in line, until there is nobody or o needs its pump itself.
func (l *Line) serve(o *Out) {
	for x := o; x != nil; x = l.next() {
		x.mu.Lock()
		x.lined = false
		x.flushLocked()
		x.mu.Unlock()
		o.mu.Lock()
		own := o.stopping || len(o.flight) > 0 && !o.writing
		o.mu.Unlock()
		if own {
			l.pass()
			return
		}
	}
}

// waitsLocked reports whether what is queued waits in line, and not for o's own pump alone: that writes what would block.
func (o *Out) waitsLocked() bool {
	return (len(o.flight) == 0 || o.writing) && o.Line.Long() && o.conn != nil && o.conn.try != nil
}

// joinLocked puts o in line once. It reports whether o's pump is to write for all.
func (o *Out) joinLocked() bool {
	if !o.lined {
		o.place = o.Line.join(o)
		o.lined = !o.place
	}
	return o.place
}
