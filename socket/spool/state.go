package spool

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
)

// state is what a log knows besides its messages: who has acknowledged what. Changes are records of the log, and
// each segment begins with all of it, so that the last segment is enough to know it.
type state struct {
	dropped   uint64 // messages up to this number may be missing because retention or quota dropped them
	told      uint64 // dropped as last written
	damaged   spans  // messages that are known to be lost to damage, as far as has been read since the log was opened
	positions map[string]*position
	ranges    int         // of all positions
	failing   int         // messages with attempts, of all positions
	changed   []change    // what was made or removed since it was last written
	touched   []*position // what has other changes
	epoch     uint64      // how often all changes were taken for written
	lost      bool        // of one that is read: some changes may be lost
	gone      uint64      // of one that is read: up to this number consumers whose making is lost have acknowledged all
}

// position is one consumer's.
type position struct {
	name      string
	touched   bool // in state.touched
	acked     spans
	attempts  map[uint64]uint64 // failed deliveries of messages not acknowledged
	unlogged  spans             // acknowledged since it was last written
	failed    []uint64          // numbers whose attempts changed since
	top       atomic.Uint64     // the highest number in acked or attempts, or higher; written under Log.mu
	news      uint64            // how many were acknowledged since the log was opened
	settled   uint64            // of those: at state.epoch settledAt, the last at which some were taken for written
	settledAt uint64
	before    uint64 // and before that
}

// lacks returns how many of the messages lo to hi are not acknowledged.
func (p *position) lacks(lo, hi uint64) uint64 {
	if hi < lo {
		return 0
	}
	return hi - lo + 1 - p.acked.count(lo, hi)
}

// there returns how many of the messages lo to hi are not acknowledged, without those that damage took.
func (s *state) there(p *position, lo, hi uint64) uint64 {
	n := p.lacks(lo, hi)
	for _, d := range s.damaged.all() {
		n -= p.lacks(max(lo, d.lo), min(hi, d.hi))
	}
	return n
}

// failures returns how many messages from first on have failed, without those that damage took.
func (s *state) failures(p *position, first uint64) (n int) {
	if p.acked.floor+1 >= first && len(s.damaged.all()) == 0 {
		return len(p.attempts)
	}
	for number := range p.attempts {
		if number >= first && !s.damaged.has(number) {
			n++
		}
	}
	return n
}

// change is a consumer made or removed.
type change struct {
	name    string
	removed bool
	floor   uint64
}

// What a recordState consists of: an operation, then what it is about, numbers as varints.
const (
	opNothing = 0 // padding
	opMake    = 1 // name, floor
	opRemove  = 2 // name
	opAck     = 3 // name, count, then for each range: distance from the end of the last one, length
	opAttempt = 4 // name, number, attempts
	opDropped = 5 // number
)

// missing returns the first of the messages lo to hi, which are not there, that should be: all of them, or, with
// positions, those that one of them has not acknowledged.
func (s *state) missing(lo, hi uint64, wantedBy ...*position) *Gap {
	if len(wantedBy) > 0 {
		from, to := hi+1, uint64(0)
		for _, p := range wantedBy {
			if p != nil {
				from, to = min(from, p.acked.nextFree(lo)), max(to, p.acked.lastFree(hi))
			}
		}
		lo, hi = from, to
	}
	switch {
	case lo > hi:
		return nil
	case lo <= s.dropped:
		return &Gap{From: lo, To: min(hi, s.dropped)}
	}
	return &Gap{From: lo, To: hi, Damaged: true}
}

// errState is for a record of state that a correct log does not contain.
var errState = errors.New("malformed state")

func newState() state { return state{positions: make(map[string]*position)} }

func newPosition(name string, floor uint64) *position {
	p := &position{name: name, acked: spans{floor: floor}, attempts: make(map[uint64]uint64)}
	p.reach(floor)
	return p
}

// reach notes that messages up to n may be acknowledged or have failed.
func (p *position) reach(n uint64) {
	if n > p.top.Load() {
		p.top.Store(n)
	}
}

func (s *state) make(name string, floor uint64) *position {
	p := newPosition(name, floor)
	s.positions[name] = p
	s.changed = append(s.changed, change{name: name, floor: floor})
	return p
}

func (s *state) remove(name string) {
	s.forget(name)
	s.changed = append(s.changed, change{name: name, removed: true})
}

// forget takes a position out of the state.
func (s *state) forget(name string) {
	if p := s.positions[name]; p != nil {
		s.ranges -= len(p.acked.ranges)
		s.failing -= len(p.attempts)
		delete(s.positions, name)
	}
}

// ack acknowledges lo to hi and reports whether that was news.
func (s *state) ack(p *position, lo, hi uint64) bool {
	news := hi - lo + 1 - p.acked.count(lo, hi)
	if !s.take(p, lo, hi) {
		return false
	}
	p.news += news
	s.touch(p)
	p.unlogged.add(lo, hi)
	return true
}

// take makes lo to hi acknowledged and reports whether that was news.
func (s *state) take(p *position, lo, hi uint64) bool {
	ranges, failing := len(p.acked.ranges), len(p.attempts)
	if !p.acked.add(lo, hi) {
		return false
	}
	p.reach(hi)
	p.forget(lo, hi)
	s.ranges += len(p.acked.ranges) - ranges
	s.failing += len(p.attempts) - failing
	return true
}

// forget drops the attempts of what is acknowledged.
func (p *position) forget(lo, hi uint64) {
	if hi-lo < uint64(len(p.attempts)) {
		for n := lo; n <= hi; n++ {
			delete(p.attempts, n)
		}
		return
	}
	maps.DeleteFunc(p.attempts, func(n, _ uint64) bool { return lo <= n && n <= hi })
}

// fail counts a failed delivery of n.
func (s *state) fail(p *position, n uint64) uint64 {
	s.touch(p)
	p.reach(n)
	if p.attempts[n] == 0 {
		s.failing++
	}
	p.attempts[n]++
	p.failed = append(p.failed, n)
	return p.attempts[n]
}

// dirty reports whether anything is not written yet.
func (s *state) dirty() bool {
	return len(s.changed) > 0 || s.told != s.dropped || len(s.touched) > 0
}

func (s *state) touch(p *position) {
	if !p.touched {
		p.touched = true
		s.touched = append(s.touched, p)
	}
}

// appendChanges appends what is not written yet, for a recordState. After settle it counts as written.
func (s *state) appendChanges(b []byte) []byte {
	return s.appendChangesOf(b, (*position).appendChanges)
}

// appendGone appends what must be known of the messages in gone, which all have acknowledged, before they go, and is little: all names, and that.
func (s *state) appendGone(b []byte, gone *spans) []byte {
	return s.appendChangesOf(b, func(p *position, b []byte) []byte {
		if len(gone.all()) == 0 {
			return b
		}
		return appendSpans(appendName(append(b, opAck), p.name), gone)
	})
}

func (s *state) appendChangesOf(b []byte, of func(p *position, b []byte) []byte) []byte {
	for _, c := range s.changed {
		if c.removed {
			b = appendName(append(b, opRemove), c.name)
		} else {
			b = binary.AppendUvarint(appendName(append(b, opMake), c.name), c.floor)
		}
	}
	for _, p := range s.touched {
		if s.positions[p.name] == p { // not removed meanwhile
			b = of(p, b)
		}
	}
	if s.told != s.dropped {
		b = binary.AppendUvarint(append(b, opDropped), s.dropped)
	}
	return b
}

func (p *position) appendChanges(b []byte) []byte {
	if p.unlogged.floor > 0 || len(p.unlogged.ranges) > 0 {
		b = appendSpans(appendName(append(b, opAck), p.name), &p.unlogged)
	}
	for _, n := range p.failed {
		if count, ok := p.attempts[n]; ok {
			b = binary.AppendUvarint(appendName(append(b, opAttempt), p.name), n)
			b = binary.AppendUvarint(b, count)
		}
	}
	return b
}

// settle takes all changes for written: a checkpoint holds them.
func (s *state) settle() {
	s.settleNames()
	for _, p := range s.touched {
		p.unlogged = spans{ranges: p.unlogged.ranges[:0]}
		p.failed, p.touched = p.failed[:0], false
		p.before, p.settled, p.settledAt = p.settled, p.news, s.epoch+1
	}
	s.touched = s.touched[:0]
	s.epoch++
}

// settleNames takes for written what appendGone says of names, and what was dropped.
func (s *state) settleNames() { s.changed, s.told = s.changed[:0], s.dropped }

// appendAll appends the whole state, for a recordCheckpoint: the changes that make it from nothing.
func (s *state) appendAll(b []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(s.positions)) {
		p := s.positions[name]
		b = binary.AppendUvarint(appendName(append(b, opMake), name), p.acked.floor)
		if len(p.acked.ranges) > 0 {
			b = appendSpans(appendName(append(b, opAck), name), &p.acked)
		}
		for _, n := range slices.Sorted(maps.Keys(p.attempts)) {
			b = binary.AppendUvarint(appendName(append(b, opAttempt), name), n)
			b = binary.AppendUvarint(b, p.attempts[n])
		}
	}
	return binary.AppendUvarint(append(b, opDropped), s.dropped)
}

func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// appendSpans writes 1 to floor as a range like the others.
func appendSpans(b []byte, s *spans) []byte {
	n, end := len(s.ranges), s.floor
	if s.floor > 0 {
		n++
	}
	b = binary.AppendUvarint(b, uint64(n))
	if s.floor > 0 {
		b = binary.AppendUvarint(b, 1)
		b = binary.AppendUvarint(b, s.floor-1)
	}
	for _, r := range s.ranges {
		b = binary.AppendUvarint(b, r.lo-end)
		b = binary.AppendUvarint(b, r.hi-r.lo)
		end = r.hi
	}
	return b
}

// apply takes the changes of a record into the state. It stops at the first that makes no sense: floors then
// stay where they were, which costs a second delivery and loses nothing.
func (s *state) apply(b []byte) error {
	d := decoder{b: b}
	for len(d.b) > 0 && d.err == nil {
		op := d.b[0]
		d.b = d.b[1:]
		switch op {
		case opNothing:
		case opDropped:
			if n := d.uvarint(); d.err == nil {
				s.dropped = max(s.dropped, n)
				s.told = s.dropped
			}
		default:
			s.applyTo(op, d.name(), &d)
		}
	}
	return d.err
}

func (s *state) applyTo(op byte, name string, d *decoder) {
	p := s.positions[name]
	switch {
	case p != nil:
	case s.lost && (op == opAck || op == opAttempt): // the change that made it, too
		p = newPosition(name, s.gone)
		s.positions[name] = p
	default: // of a consumer removed meanwhile: read and forgotten
		p, s = newPosition(name, 0), &state{positions: s.positions}
	}
	switch op {
	case opMake:
		// A checkpoint may know a consumer before the record that makes it, which must not set it back.
		if floor := d.uvarint(); d.err == nil && s.positions[name] == nil {
			s.positions[name] = newPosition(name, floor)
		}
	case opRemove:
		if d.err == nil {
			s.forget(name)
		}
	case opAck:
		d.spans(func(lo, hi uint64) {
			s.take(p, lo, hi)
		})
	case opAttempt:
		n, count := d.uvarint(), d.uvarint()
		if d.err == nil && !p.acked.has(n) {
			p.reach(n)
			if p.attempts[n] == 0 {
				s.failing++
			}
			p.attempts[n] = count
		}
	default:
		d.err = errState
	}
}
