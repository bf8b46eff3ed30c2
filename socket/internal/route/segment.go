package route

// segment is a part of an index: a table of its own with open addressing. There are no pointers in its entries, so that a collection of garbage passes them over.
//
// Invariant: tags[i] is the tag of entries[i].hash, or 0 where there is no entry. Between the place that a hash asks for, which is its low bits, and the one where
// it is there is no free place. At least a quarter is free.
type segment struct {
	tags    []uint8
	entries []entry
	count   int
	depth   int // so many of the first bits of their hashes all entries have in common
}

const (
	// fullSegment is the size of those of an index that has several. To replace one by two takes some 50 us, and what is known of the segments of
	// 100,000 topics some KiB.
	fullSegment = 1 << 12
	// smallSegment is the size of the smallest. All are powers of two.
	smallSegment = 4
)

func newSegment(size, depth int) *segment {
	return &segment{tags: make([]uint8, size), entries: make([]entry, size), depth: depth}
}

// tagOf returns a number from 1 to 255, of bits that neither the place in a segment nor, mostly, the choice of it depends on. Most looks find nothing, and end with
// the tags, which are few enough to stay in the cache.
func tagOf(hash uint32) uint8 { return max(1, uint8(hash>>12)) }

// full reports whether there is no room for one more.
func (s *segment) full() bool { return 4*(s.count+1) > 3*len(s.tags) }

// free returns the place for a hash that is not there.
func (s *segment) free(hash uint32) uint32 {
	last := uint32(len(s.tags) - 1)
	i := hash & last
	for s.tags[i] != 0 {
		i = (i + 1) & last
	}
	return i
}

// add takes in a copy of e and returns it.
func (s *segment) add(e *entry) *entry {
	i := s.free(e.hash)
	s.tags[i], s.entries[i] = tagOf(e.hash), *e
	s.count++
	return &s.entries[i]
}

// remove takes out e, which is one of s.entries, and moves those behind it to where they are found without it.
func (s *segment) remove(e *entry) {
	last := uint32(len(s.tags) - 1)
	hole := e.hash & last
	for &s.entries[hole] != e {
		hole = (hole + 1) & last
	}
	for i := (hole + 1) & last; s.tags[i] != 0; i = (i + 1) & last {
		if moved := (i - s.entries[i].hash) & last; moved >= (i-hole)&last {
			s.tags[hole], s.entries[hole] = s.tags[i], s.entries[i]
			hole = i
		}
	}
	s.tags[hole], s.entries[hole] = 0, entry{}
	s.count--
}

// move adds the entries of s to what to returns for each.
func (s *segment) move(to func(hash uint32) *segment) {
	for i, tag := range s.tags {
		if tag != 0 {
			to(s.entries[i].hash).add(&s.entries[i])
		}
	}
}

func (s *segment) resize(size int) {
	old := *s
	*s = *newSegment(size, s.depth)
	old.move(func(uint32) *segment { return s })
}
