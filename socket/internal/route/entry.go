package route

// entry is a topic that pipes are subscribed to, or an anchor, or both. It is as large as a line of the cache and has all there is to know of most topics,
// which are short and have one subscriber.
type entry struct {
	first [1]sub // who is subscribed to exactly this topic, if that is one
	bytes uint32 // of the topic, if they are in text; or long
	rest  uint32 // what there is no place for here: a number from 1 on, 0 for none
	text  [40]byte
}

// long is what stands for the length of a topic that has no place in its entry.
const long = uint32(len(entry{}.text)) + 1

// rest is what few entries have.
type rest struct {
	text    string         // a long topic
	subs    []sub          // who is subscribed to exactly this topic, if those are several
	crowd   map[uint32]int // where in subs a pipe is, once there are many
	longer  int            // of an anchor: how many subscribed topics begin with it and are longer
	lengths uint64         // of an anchor: those of topics that are longer, by lengthBit, and of topics that are gone
	entry   uint32         // whose it is
}

func (r *rest) needed() bool { return r.text != "" || r.subs != nil || r.longer != 0 }

// sub is one subscription of a pipe. Invariant: slots[slot].holds[at] is the entry and the place of the sub in it.
type sub struct {
	slot  uint32
	at    uint32
	times int // subscribed this often; 0 if there is nobody
}

// hold is the pipe's side of a sub. Invariant: subs(entry)[at].slot is the pipe's.
type hold struct{ entry, at uint32 }

// manySubs is from how many on a search through subs costs more than one in a map.
const manySubs = 64

// subs returns who is subscribed to exactly the topic of an entry.
func (x *index) subs(id uint32) []sub {
	e := x.at(id)
	if e.first[0].times != 0 {
		return e.first[:]
	}
	if e.rest != 0 {
		return x.rests[e.rest-1].subs
	}
	return nil
}

// subscribed reports whether anybody is subscribed to exactly the topic of an entry.
func (x *index) subscribed(id uint32) bool { return len(x.subs(id)) > 0 }

// used reports whether an entry is of any use.
func (x *index) used(id uint32) bool {
	e := x.at(id)
	return e.first[0].times != 0 || e.rest != 0 && (x.rests[e.rest-1].subs != nil || x.rests[e.rest-1].longer != 0)
}

// longer returns of which lengths topics are that begin with an anchor and are longer, by lengthBit, and whether there are any. 0 is an anchor that is not there.
func (x *index) longer(id uint32) (lengths uint64, any bool) {
	if e := x.at(id); e.rest != 0 {
		r := &x.rests[e.rest-1]
		return r.lengths, r.longer != 0
	}
	return 0, false
}

// appendTopic appends the topic of an entry.
func (x *index) appendTopic(dst []byte, id uint32) []byte {
	e := x.at(id)
	if e.bytes == long {
		return append(dst, x.rests[e.rest-1].text...)
	}
	return append(dst, e.text[:e.bytes]...)
}

// where returns where in subs a pipe is, or -1.
func (x *index) where(id, slot uint32) int {
	if e := x.at(id); e.rest != 0 {
		if crowd := x.rests[e.rest-1].crowd; crowd != nil {
			if at, ok := crowd[slot]; ok {
				return at
			}
			return -1
		}
	}
	for at, s := range x.subs(id) {
		if s.slot == slot {
			return at
		}
	}
	return -1
}

// join adds a subscriber that is not one yet, and returns its place in subs.
func (x *index) join(id uint32, s sub) (at int) {
	at = len(x.subs(id))
	if at == 0 {
		x.at(id).first[0] = s
		return 0
	}
	r, first := x.extend(id), &x.at(id).first
	if at == 1 {
		r.subs = append(make([]sub, 0, 2), first[0])
		first[0] = sub{}
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
func (x *index) leave(id uint32, at int) {
	e := x.at(id)
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
		x.curtail(id)
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
