package route

// index finds topics by their hash: a table with open addressing, in two halves. Most looks find nothing, and end in the small half.
//
// Invariant: entries[i] has the hash hashes[i], which is zero where there is none. Between the place that a hash asks for, which is
// its low bits, and the one where it is there is no free place. At least a quarter is free.
type index[P comparable] struct {
	hashes  []uint32
	entries []*entry[P]
	count   int
}

// smallIndex is the size of the smallest table. All are powers of two.
const smallIndex = 8

// find returns the entry of topic, or nil.
func (x *index[P]) find(topic []byte, hash uint32) *entry[P] {
	if x.count == 0 {
		return nil
	}
	last := uint32(len(x.hashes) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		switch x.hashes[i] {
		case 0:
			return nil
		case hash:
			if e := x.entries[i]; e.topic == string(topic) {
				return e
			}
		}
	}
}

// insert adds e, whose topic is not there.
func (x *index[P]) insert(e *entry[P]) {
	if 4*(x.count+1) > 3*len(x.hashes) {
		x.resize(max(smallIndex, 2*len(x.hashes)))
	}
	x.count++
	x.put(e, e.hash)
}

func (x *index[P]) put(e *entry[P], hash uint32) {
	last := uint32(len(x.hashes) - 1)
	i := hash & last
	for x.hashes[i] != 0 {
		i = (i + 1) & last
	}
	x.hashes[i], x.entries[i] = hash, e
}

// remove takes e out, and moves those behind it to where they are found without it.
func (x *index[P]) remove(e *entry[P]) {
	last := uint32(len(x.hashes) - 1)
	hole := e.hash & last
	for x.entries[hole] != e {
		hole = (hole + 1) & last
	}
	for i := (hole + 1) & last; x.hashes[i] != 0; i = (i + 1) & last {
		if moved := (i - x.hashes[i]) & last; moved >= (i-hole)&last {
			x.hashes[hole], x.entries[hole] = x.hashes[i], x.entries[i]
			hole = i
		}
	}
	x.hashes[hole], x.entries[hole] = 0, nil
	x.count--
	if size := len(x.hashes); size > smallIndex && 8*x.count < size { // what is kept follows what is subscribed, not what once was
		x.resize(size / 4)
	}
}

func (x *index[P]) resize(size int) {
	hashes, entries := x.hashes, x.entries
	x.hashes, x.entries = make([]uint32, max(size, smallIndex)), make([]*entry[P], max(size, smallIndex))
	for i, hash := range hashes {
		if hash != 0 {
			x.put(entries[i], hash)
		}
	}
}
