package reqrep

import (
	"sync/atomic"
	"time"
)

const (
	// briefly is how long handlers of a method take at most, on average, that are awaited by whoever receives: about what it costs to have another
	// goroutine receive meanwhile.
	briefly = 10 * time.Microsecond
	// overdue is how long it takes to see that one of them takes longer: short beside what calls take that are not brief, and long enough that
	// looking after them, which wakes a thread, costs little.
	overdue = time.Millisecond
	// paceCalls is how many calls the average is about, roughly: of those that take long sometimes, few are to be overdue.
	paceCalls = 64
	// paceMost is what one call counts at most: it makes about a hundred calls not brief.
	paceMost = 2 * time.Millisecond
)

// pace is how long the handlers of a method take, in nanoseconds beyond twice briefly: nobody knows of the first.
type pace struct{ beyond atomic.Int64 }

// note may be called by several at once. It does no harm if one is lost.
func (p *pace) note(took time.Duration) {
	old := p.beyond.Load()
	p.beyond.Store(old + (int64(min(took, paceMost))-int64(2*briefly)-old)/paceCalls)
}

// brief reports whether handlers take little time.
func (p *pace) brief() bool { return p.beyond.Load() < -int64(briefly) }

// relief sees to it that somebody receives while handlers run. Whoever receives a request handles it, and nobody else receives meanwhile, since
// mostly nothing comes; unless its method takes long, or the handler does against what is known of it.
type relief struct {
	handOn func() // has another receive
	timer  *time.Timer

	armed  atomic.Bool
	inside atomic.Int64  // handlers that run, for which nobody else was told to receive
	calls  atomic.Uint64 // of those, that have returned
	seen   uint64        // when the timer ran
}

func newRelief(handOn func()) *relief {
	r := &relief{handOn: handOn}
	r.timer = time.AfterFunc(overdue, r.look)
	r.timer.Stop() // until it is armed
	return r
}

// begin says that the caller is about to handle a call of m. It reports whether the caller is to be relieved only if that takes long.
func (r *relief) begin(m *method) (stays bool) {
	if m.info.Streams || !m.meter.pace.brief() {
		r.handOn()
		return false
	}
	r.inside.Add(1)
	if !r.armed.Load() && r.armed.CompareAndSwap(false, true) {
		r.timer.Reset(overdue)
	}
	return true
}

// end says that the caller, who began then, has replied and will receive again. Where that took long it counts as a handler that did: a reply may be large.
func (r *relief) end(m *method, stayed bool, began time.Time) {
	if !stayed {
		return
	}
	r.inside.Add(-1)
	r.calls.Add(1)
	if took := time.Since(began); took > overdue {
		m.meter.pace.note(took)
	}
}

// look has another receive if nobody has come back since the last time.
func (r *relief) look() {
	if calls := r.calls.Load(); calls != r.seen {
		r.seen = calls
		r.timer.Reset(overdue)
		return
	}
	r.armed.Store(false) // first: who begins now, and sees that it is not, has a timer of its own
	if r.inside.Load() > 0 {
		r.handOn()
	}
}
