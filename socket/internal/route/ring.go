package route

// RoundRobin deals messages out over the pipes that have room. A pipe that comes back is served after
// those that were waiting, so nobody's turn is skipped or delayed by the coming and going of others.
//
// RFC 30: a PUSH socket routes outgoing messages to its available peers in a round-robin way; RFC 28 says
// the same of REQ and DEALER.
type RoundRobin[P comparable] struct{ ring[P] }

// FairQueue takes turns over the pipes that have something to read, so that a peer that floods us cannot
// starve the others. It keeps order as RoundRobin does.
//
// RFC 28, 29 and 30: every socket that receives from several peers does so with a fair-queuing strategy.
type FairQueue[P comparable] struct{ ring[P] }

// ring is a circle of the active pipes with a mark on the one whose turn is next. A pipe enters just
// behind the mark, which is the end of the round. A circle, and not an array with an active prefix: taking
// a pipe out of an array swaps another into its place, and that one may lose its turn.
type ring[P comparable] struct {
	seats  map[P]*Seat[P] // every pipe, active or not
	turn   *Seat[P]       // whose turn is next; nil when no pipe is active
	active int
}

// Seat is a pipe's place in the ring. Invariant: prev and next are both nil while the pipe is inactive.
type Seat[P comparable] struct {
	pipe       P
	prev, next *Seat[P]
}

// Add attaches p as active, at the end of the round. A pipe that is attached already is only activated. Who keeps the seat needs not have it
// looked up: see Enter.
func (r *ring[P]) Add(p P) *Seat[P] {
	if r.seats == nil {
		r.seats = make(map[P]*Seat[P])
	}
	s := r.seats[p]
	if s == nil {
		s = &Seat[P]{pipe: p}
		r.seats[p] = s
	}
	r.Enter(s)
	return s
}

// Remove detaches p. A pipe that is not attached is ignored.
func (r *ring[P]) Remove(p P) {
	r.Deactivate(p)
	delete(r.seats, p)
}

// Activate gives p its turn again, at the end of the round. It does nothing for a pipe that is active or
// not attached: the wake-up of a pipe may well arrive after its removal.
func (r *ring[P]) Activate(p P) {
	if s := r.seats[p]; s != nil {
		r.Enter(s)
	}
}

// Enter is Activate for the pipe whose seat that is. It must be attached.
func (r *ring[P]) Enter(s *Seat[P]) {
	if s.next != nil {
		return
	}
	if r.turn == nil {
		r.turn, s.prev, s.next = s, s, s
	} else {
		s.prev, s.next = r.turn.prev, r.turn
		s.prev.next, s.next.prev = s, s
	}
	r.active++
}

// Deactivate has p skipped until it is activated again. It does nothing for a pipe that is inactive or
// not attached.
func (r *ring[P]) Deactivate(p P) {
	if s := r.seats[p]; s != nil {
		r.Leave(s)
	}
}

// Leave is Deactivate for the pipe whose seat that is.
func (r *ring[P]) Leave(s *Seat[P]) {
	if s.next == nil {
		return
	}
	switch {
	case s.next == s:
		r.turn = nil
	case s == r.turn:
		r.turn = s.next
	}
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
	r.active--
}

// Next returns the pipe whose turn it is and moves the turn on. It reports false when no pipe is active.
// It takes constant time and does not allocate.
func (r *ring[P]) Next() (p P, ok bool) {
	s := r.turn
	if s == nil {
		return p, false
	}
	r.turn = s.next
	return s.pipe, true
}

// Least is Next with a choice: of the first most pipes from the turn on it returns the one with the smallest load, the first
// of several, and moves the turn on behind that one. A load of zero ends the search.
func (r *RoundRobin[P]) Least(most int, load func(P) int) (p P, ok bool) {
	best := r.turn
	if best == nil {
		return p, false
	}
	least := load(best.pipe)
	for s := best.next; least > 0 && s != r.turn && most > 1; s, most = s.next, most-1 {
		if n := load(s.pipe); n < least {
			best, least = s, n
		}
	}
	r.turn = best.next
	return best.pipe, true
}

// Any reports whether any pipe is attached that is as asked, active or not.
func (r *ring[P]) Any(as func(P) bool) bool {
	for p := range r.seats {
		if as(p) {
			return true
		}
	}
	return false
}

// Len returns how many pipes are attached.
func (r *ring[P]) Len() int { return len(r.seats) }

// Active returns how many of them are active.
func (r *ring[P]) Active() int { return r.active }
