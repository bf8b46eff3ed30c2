package socket

import (
	"fmt"
	"slices"
	"time"
)

// leases bounds how long the application has messages that it does not settle: see WithLease. A nil one bounds nothing. receiver.mu guards it.
type leases struct {
	r       *receiver
	epoch   time.Time   // of terms, which so are of its monotonic clock, that nobody sets
	now     func() term // by that
	queue   []lease     // in the order of their ends, those that are over among them until there is need of room
	timer   *time.Timer
	armed   bool
	stopped bool
	idle    bool // one ran out with nobody in Recv, and nobody was since: peers have no credit
}

// lease is of one message that Recv returned.
type lease struct {
	in     *inbound
	flight *flight
	tag    uint64
	end    term
	now    *term // the message's: another than end once it was extended
}

// term is when a message's lease ends, or what became of it. The zero term has not begun.
type term time.Duration

const (
	ranOut  term = -1 - iota
	tooLate      // ranOut, and the application has settled the message since
)

func newLeases(r *receiver) *leases {
	if r.c.cfg.lease == 0 {
		return nil
	}
	epoch := time.Now()
	return &leases{r: r, epoch: epoch, now: func() term { return term(time.Since(epoch)) }}
}

// terms returns what the messages of an arrival need.
func (l *leases) terms(msgs int) []term {
	if l == nil {
		return nil
	}
	return make([]term, msgs)
}

// term returns the message's, where there are leases.
func (o *origin) term() *term { return &o.terms[o.nth] }

// Extend begins the lease of the message anew, at its full length (WithLease): the handler is at work on it. It is ErrLease when the lease has run out, and ErrPeerGone
// when the connection that the message came on has ended: others have it then, or will, and the handler had better stop,
// though with WithWindow it may acknowledge the message still. There it is ErrWindow and ErrClosed, too, as Ack is. It returns nil when the message is acknowledged or refused, or has no lease.
func (m Msg) Extend() error {
	o := m.from
	if o == nil || o.in == nil {
		return nil
	}
	r := o.in.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := o.lateLocked("extend"); err != nil {
		return err
	}
	if r.leases != nil {
		r.leases.beginLocked(o)
	}
	return nil
}

// beginLocked has the lease of a message end in its full length from now.
func (l *leases) beginLocked(o *origin) {
	length := l.r.c.cfg.lease
	end := l.now() + term(length)
	*o.term() = end
	if len(l.queue) == cap(l.queue) {
		l.queue = slices.DeleteFunc(l.queue, func(q lease) bool { return !q.runsLocked() })
		if n := len(l.queue); n > cap(l.queue)/2 { // or this would be done again soon
			l.queue = slices.Grow(l.queue, n)
		}
	}
	l.queue = append(l.queue, lease{o.in, o.flight(), o.tag(), end, o.term()})
	l.armLocked(length)
}

// begin is beginLocked without receiver.mu.
func (l *leases) begin(o *origin) {
	if l != nil {
		l.r.mu.Lock()
		l.beginLocked(o)
		l.r.mu.Unlock()
	}
}

// runsLocked reports whether the message is neither settled nor gone with its connection, and was not given a longer lease.
func (q *lease) runsLocked() bool {
	switch {
	case *q.now != q.end:
		return false
	case q.flight != nil: // which outlives the connection, and holds copies back
		return q.flight.state == handling
	}
	return q.in.open && !q.in.state.Settled(q.tag)
}

func (l *leases) armLocked(d time.Duration) {
	switch {
	case l.armed || l.stopped:
		return
	case l.timer == nil:
		l.timer = time.AfterFunc(d, l.tick)
	default:
		l.timer.Reset(d)
	}
	l.armed = true
}

// tick has that done in time which nobody was late for.
func (l *leases) tick() {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	l.armed = false
	if l.stopped {
		return
	}
	now := l.now()
	l.expireLocked(now)
	if len(l.queue) > 0 {
		l.armLocked(time.Duration(l.queue[0].end - now))
	}
}

// expireLocked gives back the messages whose leases have run out by now.
func (l *leases) expireLocked(now term) {
	out := map[*inbound]uint64{}
	n := 0
	for ; n < len(l.queue); n++ {
		q := &l.queue[n]
		if !q.runsLocked() {
			continue
		}
		if q.end > now { // as all behind it do, if they run
			break
		}
		l.sleepLocked()
		q.giveBackLocked()
		out[q.in]++
	}
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	for in, n := range out {
		l.r.c.hub.emit(Event{Kind: LeaseExpired, Endpoint: in.p.endpoint, Peer: in.peer, Count: n})
	}
}

// giveBackLocked has the message sent again.
func (q *lease) giveBackLocked() {
	r := q.in.r
	*q.now = ranOut
	r.acks.counts.ExpiredIn++
	if q.in.open {
		q.in.refuseLocked(q.tag, Nack{Reason: fmt.Sprintf("its lease of %s ran out", r.c.cfg.lease)})
	}
	if q.flight != nil {
		r.once.passLocked(q.flight)
	}
}

// sleepLocked takes the credit of all peers if nobody is in Recv: whoever was hangs, for all we know, and what came would wait behind that.
func (l *leases) sleepLocked() {
	p := l.r.sole.Load()
	if l.idle || l.r.wait.head != nil || p != nil && p.reading.Load() {
		return
	}
	l.idle = true
	l.r.grantLocked()
}

// wakeLocked gives it back: somebody is about to wait in Recv.
func (l *leases) wakeLocked() {
	if l.asleep() {
		l.idle = false
		l.r.grantLocked()
	}
}

func (l *leases) asleep() bool { return l != nil && l.idle }

func (l *leases) stopLocked() {
	if l == nil {
		return
	}
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// ranOutLocked reports whether the message's lease has run out, and counts that it is settled too late.
func (l *leases) ranOutLocked(o *origin, settles bool) bool {
	return l != nil && l.lateLocked(o.term(), settles)
}

func (l *leases) lateLocked(t *term, settles bool) bool {
	if *t > 0 { // the timer may be late itself
		if now := l.now(); now >= *t {
			l.expireLocked(now)
		}
	}
	if *t >= 0 {
		return false
	}
	if settles && *t == ranOut {
		*t = tooLate
		l.r.acks.counts.LateIn++
	}
	return true
}
