package route

// index finds entries by the hashes of their topics: a table with open addressing. It has the entries of all topics except for the empty one.
//
// Invariant: between the place that a hash asks for, which is its low bits, and the one where it is there is no free place. At least a quarter is free.
type index struct {
	pages
	places []place
	rests  []rest // those that entries have
	count  int    // entries
}

// place is where an entry is found: hash and number in one word, so that a look at it is one miss of the cache, and most looks, which find nothing, go no further.
type place struct {
	hash uint32
	id   uint32 // 0 where there is none
}

// smallIndex is the size of the smallest table. All are powers of two.
const smallIndex = 8

// find returns the number of the entry of topic, which is not empty, or 0.
func (x *index) find(topic []byte, hash uint32) uint32 {
	if x.count == 0 {
		return 0
	}
	last := uint32(len(x.places) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		p := x.places[i]
		if p.id == 0 || p.hash == hash && x.is(p.id, topic) {
			return p.id
		}
	}
}

// is reports whether an entry is that of topic.
func (x *index) is(id uint32, topic []byte) bool {
	e := x.at(id)
	if len(topic) <= len(e.text) {
		return int(e.bytes) == len(topic) && string(e.text[:len(topic)]) == string(topic)
	}
	return e.bytes == long && x.rests[e.rest-1].text == string(topic)
}

// insert makes an entry of topic, which has none.
func (x *index) insert(topic []byte, hash uint32) uint32 {
	if 4*(x.count+1) > 3*len(x.places) {
		x.resize(max(smallIndex, 2*len(x.places)))
	}
	id := x.take()
	e := x.at(id)
	*e = entry{bytes: uint32(min(len(topic), int(long)))}
	if copy(e.text[:], topic); e.bytes == long {
		x.extend(id).text = string(topic)
	}
	x.count++
	x.put(place{hash, id})
	return id
}

func (x *index) put(p place) {
	last := uint32(len(x.places) - 1)
	i := p.hash & last
	for x.places[i].id != 0 {
		i = (i + 1) & last
	}
	x.places[i] = p
}

// remove takes an entry out, and moves the places behind its own to where they are found without it.
func (x *index) remove(id, hash uint32) {
	last := uint32(len(x.places) - 1)
	hole := hash & last
	for x.places[hole].id != id {
		hole = (hole + 1) & last
	}
	for i := (hole + 1) & last; x.places[i].id != 0; i = (i + 1) & last {
		if moved := (i - x.places[i].hash) & last; moved >= (i-hole)&last {
			x.places[hole] = x.places[i]
			hole = i
		}
	}
	x.places[hole] = place{}
	x.count--
	x.cut(id)
	x.give(id)
}

func (x *index) resize(size int) {
	places := x.places
	x.places = make([]place, size)
	for _, p := range places {
		if p.id != 0 {
			x.put(p)
		}
	}
}

// shrink gives memory back of which little is used: what is kept follows what is subscribed, not what once was. It calls moved for each entry that has
// another number now. What is in front stays there, and so an entry with many subscribers is not moved again and again.
func (x *index) shrink(moved func(id uint32)) {
	if len(x.places) == smallIndex || 8*x.count >= len(x.places) {
		return
	}
	x.resize(max(smallIndex, len(x.places)/4))
	size := sizeFor(2 * (x.count + 1))
	if size >= x.size() {
		return
	}
	for i := range x.places {
		p := &x.places[i]
		if p.id < size {
			continue
		}
		id := x.take()
		for id >= size {
			id = x.take()
		}
		e := x.at(id)
		*e = *x.at(p.id)
		*x.at(p.id) = entry{}
		p.id = id
		if e.rest != 0 {
			x.rests[e.rest-1].entry = id
		}
		moved(id)
	}
	x.pages.shrink(size)
}

// extend returns the rest of an entry, and makes it if need be.
func (x *index) extend(id uint32) *rest {
	e := x.at(id)
	if e.rest == 0 {
		x.rests = append(x.rests, rest{entry: id})
		e.rest = uint32(len(x.rests))
	}
	return &x.rests[e.rest-1]
}

// curtail takes the rest off an entry that does not need it.
func (x *index) curtail(id uint32) {
	if rest := x.at(id).rest; rest != 0 && !x.rests[rest-1].needed() {
		x.cut(id)
	}
}

// cut takes the rest off an entry if it has one. The last of the rests moves to its place.
func (x *index) cut(id uint32) {
	e := x.at(id)
	if e.rest == 0 {
		return
	}
	at := e.rest - 1
	x.rests, e.rest = removeAt(x.rests, int(at)), 0
	if int(at) < len(x.rests) {
		x.at(x.rests[at].entry).rest = at + 1
	}
}
