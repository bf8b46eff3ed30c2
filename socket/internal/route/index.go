package route

import "iter"

// index finds entries by the hashes of their topics: extendible hashing. The first bits of a hash say which segment it is in. A segment that is full is replaced by two,
// so that no subscription waits until all others have been moved. Entries do move: a pointer to one is valid until another one is added or removed.
//
// Invariant: a segment is at 1<<(depth-segment.depth) neighbouring places of segments, those of its bits.
type index struct {
	all      entry      // of the empty topic; its hash is 0, and no other's
	segments []*segment // 1<<depth
	depth    int
	rests    []rest // those that entries have
	count    int    // entries, without all
}

// mostDepth is when segments grow instead: more bits of a hash there are not.
const mostDepth = 20

// of returns the place of the segment of a hash.
func (x *index) of(hash uint32) uint32 { return hash >> (32 - x.depth) }

// find returns the entry of topic, which is not empty, or nil.
func (x *index) find(topic []byte, hash uint32) *entry {
	if x.count == 0 {
		return nil
	}
	s, tag := x.segments[x.of(hash)], tagOf(hash)
	last := uint32(len(s.tags) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		switch s.tags[i] {
		case 0:
			return nil
		case tag:
			if e := &s.entries[i]; x.is(e, topic) {
				return e
			}
		}
	}
}

// is reports whether e is the entry of topic.
func (x *index) is(e *entry, topic []byte) bool {
	if len(topic) <= len(e.text) {
		return int(e.bytes) == len(topic) && string(e.text[:len(topic)]) == string(topic)
	}
	return int(e.bytes) == long && x.rests[e.rest-1].text == string(topic)
}

// candidates yields the entries that may have a hash.
func (x *index) candidates(hash uint32) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if hash == 0 {
			yield(&x.all)
			return
		}
		s, tag := x.segments[x.of(hash)], tagOf(hash)
		last := uint32(len(s.tags) - 1)
		for i := hash & last; s.tags[i] != 0; i = (i + 1) & last {
			if s.tags[i] == tag && !yield(&s.entries[i]) {
				return
			}
		}
	}
}

// entries yields all entries, that of the empty topic among them.
func (x *index) entries() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if !yield(&x.all) {
			return
		}
		for i, s := range x.segments {
			if i > 0 && s == x.segments[i-1] {
				continue
			}
			for i, tag := range s.tags {
				if tag != 0 && !yield(&s.entries[i]) {
					return
				}
			}
		}
	}
}

// insert makes an entry of topic, which has none.
func (x *index) insert(topic []byte, hash uint32) *entry {
	if x.segments == nil {
		x.segments = []*segment{newSegment(smallSegment, 0)}
	}
	s := x.segments[x.of(hash)]
	for s.full() {
		x.widen(s, hash)
		s = x.segments[x.of(hash)]
	}
	x.count++
	e := s.add(&entry{hash: hash, bytes: uint8(min(len(topic), long))})
	if copy(e.text[:], topic); int(e.bytes) == long {
		x.extend(e).text = string(topic)
	}
	return e
}

// widen makes room in the segment of a hash: it grows, or is replaced by two.
func (x *index) widen(s *segment, hash uint32) {
	if len(s.tags) < fullSegment || s.depth == mostDepth {
		s.resize(2 * len(s.tags))
		return
	}
	if s.depth == x.depth {
		x.depth++
		segments := make([]*segment, 0, 1<<x.depth)
		for _, s := range x.segments {
			segments = append(segments, s, s)
		}
		x.segments = segments
	}
	halves := [2]*segment{newSegment(fullSegment, s.depth+1), newSegment(fullSegment, s.depth+1)}
	s.move(func(hash uint32) *segment { return halves[hash>>(31-s.depth)&1] })
	x.set(halves[0], hash&^(1<<(31-s.depth)))
	x.set(halves[1], hash|1<<(31-s.depth))
}

// set has s be the segment of the hashes that begin like this one.
func (x *index) set(s *segment, hash uint32) {
	n := uint32(1) << (x.depth - s.depth)
	for i := x.of(hash) &^ (n - 1); n > 0; i, n = i+1, n-1 {
		x.segments[i] = s
	}
}

// remove takes an entry out.
func (x *index) remove(e *entry) {
	hash := e.hash
	if e.rest != 0 {
		x.cut(e)
	}
	x.segments[x.of(hash)].remove(e)
	x.count--
	x.narrow(hash)
}

// narrow gives memory back of which little is used near a hash: what is kept follows what is subscribed, not what once was.
func (x *index) narrow(hash uint32) {
	s := x.segments[x.of(hash)]
	for ; s.depth > 0; s = x.segments[x.of(hash)] {
		other := x.segments[x.of(hash^1<<(32-s.depth))]
		if other.depth != s.depth || 8*(s.count+other.count) >= len(s.tags)+len(other.tags) {
			return
		}
		other.move(func(uint32) *segment { return s })
		s.depth--
		x.set(s, hash)
	}
	if x.depth > 0 {
		x.depth, x.segments = 0, []*segment{s}
	}
	if len(s.tags) > smallSegment && 8*s.count < len(s.tags) {
		s.resize(max(smallSegment, len(s.tags)/4))
	}
}
