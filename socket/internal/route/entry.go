package route

// entry is a topic that pipes are subscribed to, or an anchor, or both.
type entry[P comparable] struct {
	topic   string
	hash    uint32
	longer  int              // of an anchor: how many subscribed topics begin with it and are longer
	lengths uint64           // of an anchor: those of topics that are longer, by lengthBit, and of topics that are gone
	subs    []sub[P]         // who is subscribed to exactly this topic
	first   [1]sub[P]        // the memory of subs, while it needs no more
	crowd   map[*slot[P]]int // where in subs a pipe is, once there are many
}

// sub is one subscription of a pipe. Invariant: slot.holds[at] is the entry and the place of the sub in it.
type sub[P comparable] struct {
	slot  *slot[P]
	at    int
	times int // subscribed this often
}

// hold is the pipe's side of a sub. Invariant: entry.subs[at].slot is the pipe's.
type hold[P comparable] struct {
	entry *entry[P]
	at    int
}

// manySubs is from how many on a search through subs costs more than one in a map.
const manySubs = 64

// place returns where in subs a pipe is, or -1.
func (e *entry[P]) place(s *slot[P]) int {
	if e.crowd != nil {
		if at, ok := e.crowd[s]; ok {
			return at
		}
		return -1
	}
	for at := range e.subs {
		if e.subs[at].slot == s {
			return at
		}
	}
	return -1
}

// join subscribes a pipe that is not yet.
func (e *entry[P]) join(s *slot[P]) {
	at := len(e.subs)
	if at == 0 {
		e.subs = e.first[:0]
	}
	e.subs = append(e.subs, sub[P]{slot: s, at: len(s.holds), times: 1})
	s.holds = append(s.holds, hold[P]{e, at})
	switch {
	case e.crowd != nil:
		e.crowd[s] = at
	case len(e.subs) > manySubs:
		e.crowd = make(map[*slot[P]]int, 2*manySubs)
		for at := range e.subs {
			e.crowd[e.subs[at].slot] = at
		}
	}
}

// leave undoes join for the pipe at the given place. The last one of subs and the last one of the pipe's holds move to the places that are free now.
func (e *entry[P]) leave(at int) {
	s, mine := e.subs[at].slot, e.subs[at].at
	e.subs = removeAt(e.subs, at)
	s.holds = removeAt(s.holds, mine)
	if at < len(e.subs) {
		moved := &e.subs[at]
		moved.slot.holds[moved.at].at = at
	}
	if mine < len(s.holds) {
		moved := s.holds[mine]
		moved.entry.subs[moved.at].at = mine
	}
	switch {
	case e.crowd == nil:
	case len(e.subs) <= manySubs/2:
		e.crowd = nil
	default:
		delete(e.crowd, s)
		if at < len(e.subs) {
			e.crowd[e.subs[at].slot] = at
		}
	}
}

// removeAt removes s[i] by moving the last element there. It gives memory back once three quarters of it
// lie idle, so that what is kept follows what is subscribed and not what once was.
func removeAt[E any](s []E, i int) []E {
	last := len(s) - 1
	s[i] = s[last]
	clear(s[last:])
	s = s[:last]
	switch {
	case last == 0:
		return nil
	case last <= cap(s)/4:
		return append(make([]E, 0, last), s...) // exactly: a clone may round up to as much as before
	}
	return s
}
