package route

// entry is a topic that pipes are subscribed to, or an anchor, or both. It is as large as a line of the cache and has all there is to know of most topics,
// which are short and have one subscriber.
type entry struct {
	first [1]sub // who is subscribed to exactly this topic, if that is one
	hash  uint32
	rest  uint32 // what there is no room for here: a number from 1 on, 0 for none
	bytes uint8  // of the topic, if they are in text; or long
	text  [39]byte
}

// long is what stands for the length of a topic that has no room in its entry.
const long = len(entry{}.text) + 1

// rest is what few entries have. It is as large as a line of the cache, too.
type rest struct {
	text    string         // a long topic
	subs    []sub          // who is subscribed to exactly this topic, if those are several
	crowd   map[uint32]int // where in subs a pipe is, once there are many
	lengths uint64         // of an anchor: those of topics that are longer, by lengthBit, and of topics that are gone
	longer  int32          // of an anchor: how many subscribed topics begin with it and are longer
	hash    uint32         // of the entry
}

// sub is one subscription of a pipe. Invariant: slots[slot].holds[at] is the hash of the entry and the place of the sub in it.
type sub struct {
	slot  uint32
	at    uint32
	times int // subscribed this often; 0 if there is nobody
}

// hold is the pipe's side of a sub. Entries have no place that stays: holder finds the one it is about.
type hold struct{ hash, at uint32 }

// manySubs is from how many on a search through subs costs more than one in a map.
const manySubs = 64

// subs returns who is subscribed to exactly the topic of e.
func (x *index) subs(e *entry) []sub {
	if e.first[0].times != 0 {
		return e.first[:]
	}
	if e.rest != 0 {
		return x.rests[e.rest-1].subs
	}
	return nil
}

// subscribed reports whether anybody is subscribed to exactly the topic of e.
func (x *index) subscribed(e *entry) bool { return len(x.subs(e)) > 0 }

// longer returns of which lengths topics are that begin with e and are longer, by lengthBit, and whether there are any.
func (x *index) longer(e *entry) (lengths uint64, some bool) {
	if e == nil || e.rest == 0 {
		return 0, false
	}
	r := &x.rests[e.rest-1]
	return r.lengths, r.longer != 0
}

// appendTopic appends the topic of e.
func (x *index) appendTopic(dst []byte, e *entry) []byte {
	if int(e.bytes) == long {
		return append(dst, x.rests[e.rest-1].text...)
	}
	return append(dst, e.text[:e.bytes]...)
}

// holder returns the entry with a pipe's sub whose place among the pipe's holds is at: no other entry has one of that pipe and place.
func (x *index) holder(h hold, slot, at uint32) *entry {
	for e := range x.candidates(h.hash) {
		if subs := x.subs(e); int(h.at) < len(subs) && subs[h.at].slot == slot && subs[h.at].at == at {
			return e
		}
	}
	return nil
}

// where returns where in subs a pipe is, or -1.
func (x *index) where(e *entry, slot uint32) int {
	if e.rest != 0 {
		if crowd := x.rests[e.rest-1].crowd; crowd != nil {
			if at, ok := crowd[slot]; ok {
				return at
			}
			return -1
		}
	}
	for at, s := range x.subs(e) {
		if s.slot == slot {
			return at
		}
	}
	return -1
}

// join adds a subscriber that is not one yet, and returns its place in subs.
func (x *index) join(e *entry, s sub) (at int) {
	if at = len(x.subs(e)); at == 0 {
		e.first[0] = s
		return 0
	}
	r := x.extend(e)
	if at == 1 {
		r.subs = append(make([]sub, 0, 2), e.first[0])
		e.first[0] = sub{}
	}
	r.subs = append(r.subs, s)
	switch {
	case r.crowd != nil:
		r.crowd[s.slot] = at
	case at >= manySubs:
		r.crowd = make(map[uint32]int, 2*manySubs)
		for at, s := range r.subs {
			r.crowd[s.slot] = at
		}
	}
	return at
}

// leave undoes join for the subscriber at a place. The last one of subs moves there.
func (x *index) leave(e *entry, at int) {
	if e.first[0].times != 0 {
		e.first[0] = sub{}
		return
	}
	r := &x.rests[e.rest-1]
	slot := r.subs[at].slot
	r.subs = removeAt(r.subs, at)
	switch {
	case r.crowd == nil:
	case len(r.subs) <= manySubs/2:
		r.crowd = nil
	default:
		delete(r.crowd, slot)
		if at < len(r.subs) {
			r.crowd[r.subs[at].slot] = at
		}
	}
	if len(r.subs) == 1 {
		e.first[0], r.subs = r.subs[0], nil
		x.curtail(e)
	}
}

// extend returns the rest of e, and makes it if need be.
func (x *index) extend(e *entry) *rest {
	if e.rest == 0 {
		x.rests = append(x.rests, rest{hash: e.hash})
		e.rest = uint32(len(x.rests))
	}
	return &x.rests[e.rest-1]
}

// curtail takes the rest off e if it is not needed.
func (x *index) curtail(e *entry) {
	if e.rest == 0 {
		return
	}
	if r := &x.rests[e.rest-1]; r.text == "" && r.subs == nil && r.longer == 0 {
		x.cut(e)
	}
}

// cut takes the rest off e. The last of the rests moves to its place.
func (x *index) cut(e *entry) {
	at, was := e.rest-1, uint32(len(x.rests))
	x.rests, e.rest = removeAt(x.rests, int(at)), 0
	if at+1 == was {
		return
	}
	for moved := range x.candidates(x.rests[at].hash) {
		if moved.rest == was {
			moved.rest = at + 1
			return
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
