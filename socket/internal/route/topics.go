package route

import (
	"cmp"
	"iter"
	"slices"
)

// Topics knows which pipes want a topic. A subscription is a prefix, compared byte by byte with the first
// frame of a message; the empty one matches everything. Subscriptions are counted per pipe and topic.
//
// RFC 29: subscriptions are additive and not idempotent: a topic that a pipe subscribed to twice has to be
// unsubscribed from twice.
//
// It is a hash table of topics. To match is to look for the prefix of each length that topics have. So Subscribe, Unsubscribe and
// matching take time proportional to the length of the topic, whatever the number of subscriptions. Memory is proportional to the
// subscribed bytes. The caller bounds topic length and subscriptions per pipe.
//
// A peer may choose topics of every length there is. So that messages which begin like none of them need not be looked up in all,
// the first 32, 128, 512... bytes of a longer topic are an entry, too, its anchors: where one is missing, so is all that is longer, and
// where one is found, it knows of which lengths that is.
type Topics[P comparable] struct {
	seed  seed
	all   entry[P]       // of the empty topic
	index index[P]       // of the others
	sizes []size         // by bytes
	slots map[P]*slot[P] // the pipes with at least one subscription
	count int            // distinct topics
	stamp uint64         // the number of the latest match
}

// size is a length that entries have.
type size struct {
	bytes, entries int
	bit            uint64 // of its length in the anchor before it
	anchor         bool
}

const (
	// firstAnchor is the length from which on topics have anchors. Most topics are not longer, and to look for all lengths up to
	// this one takes about as long as queueing a message.
	firstAnchor = 32
	// anchorStep is how much longer the next one is: a topic has few, and a message is looked up in few times more lengths than the
	// bytes that it shares with a topic.
	anchorStep = 4
)

// slot is what Topics keeps of a pipe.
type slot[P comparable] struct {
	pipe  P
	stamp uint64    // the latest match that found this pipe
	holds []hold[P] // its subscriptions
	total int       // how many those are, repeated ones included
	bytes int       // the lengths of the topics, each counted once
}

// Subscribe adds one subscription of p to topic, which it does not keep. It reports as first whether no
// pipe had this topic before: what has to be passed upstream.
func (t *Topics[P]) Subscribe(p P, topic []byte) (first bool) {
	s := t.slots[p]
	if s == nil {
		s = &slot[P]{pipe: p}
		if t.slots == nil {
			t.slots = make(map[P]*slot[P])
		}
		t.slots[p] = s
	}
	s.total++
	e := t.entry(topic)
	if at := e.place(s); at >= 0 {
		e.subs[at].times++
		return false
	}
	e.join(s)
	s.bytes += len(topic)
	if len(e.subs) > 1 {
		return false
	}
	t.count++
	t.anchor(topic, 1)
	return true
}

// entry returns the entry of topic, and makes it if need be.
func (t *Topics[P]) entry(topic []byte) *entry[P] {
	if len(topic) == 0 {
		return &t.all
	}
	t.seed.draw()
	hash := t.seed.hash(topic)
	e := t.index.find(topic, hash)
	if e == nil {
		e = &entry[P]{topic: string(topic), hash: hash}
		t.index.insert(e)
		t.resize(len(topic), 1)
	}
	return e
}

// anchor counts topic in or out at its anchors.
func (t *Topics[P]) anchor(topic []byte, by int) {
	for n := firstAnchor; n < len(topic); n *= anchorStep {
		e := t.entry(topic[:n])
		e.longer += by
		e.lengths |= lengthBit(min(len(topic), n*anchorStep), n)
		t.release(e)
	}
}

// release takes e out if it is of no use any more.
func (t *Topics[P]) release(e *entry[P]) {
	if len(e.subs) == 0 && e.longer == 0 && e != &t.all {
		t.index.remove(e)
		t.resize(len(e.topic), -1)
	}
}

// resize counts an entry of so many bytes in or out.
func (t *Topics[P]) resize(bytes, by int) {
	i, known := slices.BinarySearchFunc(t.sizes, bytes, func(s size, bytes int) int { return cmp.Compare(s.bytes, bytes) })
	if !known {
		t.sizes = slices.Insert(t.sizes, i, newSize(bytes))
	}
	if t.sizes[i].entries += by; t.sizes[i].entries == 0 {
		t.sizes = slices.Delete(t.sizes, i, i+1)
	}
}

func newSize(bytes int) size {
	next := firstAnchor
	for next < bytes {
		next *= anchorStep
	}
	if bytes <= firstAnchor {
		return size{bytes: bytes, bit: 1, anchor: bytes == next}
	}
	return size{bytes: bytes, bit: lengthBit(bytes, next/anchorStep), anchor: bytes == next}
}

// lengthBit returns a bit that stands for a length, among those after an anchor and up to the next: each for a 64th of them.
func lengthBit(bytes, anchor int) uint64 {
	return 1 << ((bytes - anchor - 1) * 64 / (anchor*anchorStep - anchor))
}

// Unsubscribe takes one subscription of p to topic back. It reports as last whether nobody has the topic
// any more, and as known whether p had it at all; if not, nothing has changed.
func (t *Topics[P]) Unsubscribe(p P, topic []byte) (last, known bool) {
	s, e := t.slots[p], t.find(topic)
	if s == nil || e == nil {
		return false, false
	}
	at := e.place(s)
	if at < 0 {
		return false, false
	}
	s.total--
	if e.subs[at].times > 1 {
		e.subs[at].times--
		return false, true
	}
	s.bytes -= len(topic)
	last = t.drop(e, at)
	if len(s.holds) == 0 {
		delete(t.slots, p)
	}
	return last, true
}

// find returns the entry of exactly this topic, or nil.
func (t *Topics[P]) find(topic []byte) *entry[P] {
	if len(topic) == 0 {
		return &t.all
	}
	return t.index.find(topic, t.seed.hash(topic))
}

// RemovePipe takes all subscriptions of p back. For each topic it calls gone, unless that is nil, in no particular
// order, with how often p was subscribed to it and whether nobody has it any more; the slice is valid during the call
// only, and gone must not change the Topics. It takes time proportional to what p itself subscribed.
func (t *Topics[P]) RemovePipe(p P, gone func(topic []byte, times int, last bool)) {
	s := t.slots[p]
	if s == nil {
		return
	}
	delete(t.slots, p)
	var topic []byte
	for len(s.holds) > 0 {
		h := s.holds[len(s.holds)-1]
		times := h.entry.subs[h.at].times
		last := t.drop(h.entry, h.at)
		if gone != nil {
			topic = append(topic[:0], h.entry.topic...)
			gone(topic, times, last)
		}
	}
}

// drop takes the subscriber at the given place off e, and reports whether it was the last.
func (t *Topics[P]) drop(e *entry[P], at int) (last bool) {
	e.leave(at)
	if len(e.subs) > 0 {
		return false
	}
	t.count--
	if len(e.topic) > firstAnchor {
		t.anchor([]byte(e.topic), -1)
	}
	t.release(e)
	return true
}

// Match calls yield for each pipe that wants topic, exactly once however many of its subscriptions match,
// in no particular order. It does not allocate. yield must not change the Topics.
func (t *Topics[P]) Match(topic []byte, yield func(P)) {
	t.stamp++
	h := t.seed.prefixes(topic)
	for e := range t.matches(&h) {
		for i := range e.subs {
			if s := e.subs[i].slot; s.stamp != t.stamp {
				s.stamp = t.stamp
				yield(s.pipe)
			}
		}
	}
}

// AppendMatch appends what Match would yield to dst. It allocates only where dst has to grow.
func (t *Topics[P]) AppendMatch(dst []P, topic []byte) []P {
	t.stamp++
	h := t.seed.prefixes(topic)
	for e := range t.matches(&h) {
		for i := range e.subs {
			if s := e.subs[i].slot; s.stamp != t.stamp {
				s.stamp = t.stamp
				dst = append(dst, s.pipe)
			}
		}
	}
	return dst
}

// matches yields the entries that a topic begins with, anchors among them.
func (t *Topics[P]) matches(h *prefixes) iter.Seq[*entry[P]] {
	return func(yield func(*entry[P]) bool) {
		if !yield(&t.all) {
			return
		}
		lengths := ^uint64(0)
		for i := range t.sizes {
			size := &t.sizes[i]
			if size.bytes > len(h.topic) {
				return
			}
			if lengths&size.bit == 0 {
				continue
			}
			e := t.index.find(h.topic[:size.bytes], h.next(size.bytes))
			if e != nil && !yield(e) {
				return
			}
			if size.anchor {
				if e == nil || e.longer == 0 {
					return
				}
				lengths = e.lengths
			}
		}
	}
}

// AppendExact is AppendMatch for those alone who subscribed to just this topic: RFC 48 compares groups as a whole.
func (t *Topics[P]) AppendExact(dst []P, topic []byte) []P {
	if e := t.find(topic); e != nil {
		for i := range e.subs {
			dst = append(dst, e.subs[i].slot.pipe)
		}
	}
	return dst
}

// Found reports whether the latest match found p.
func (t *Topics[P]) Found(p P) bool {
	s := t.slots[p]
	return s != nil && s.stamp == t.stamp
}

// Each calls yield for each topic that is subscribed to once, in no particular order. The slice is valid during the
// call only, and yield must not change the Topics.
func (t *Topics[P]) Each(yield func(topic []byte)) {
	var topic []byte
	if len(t.all.subs) > 0 {
		yield(nil)
	}
	for _, e := range t.index.entries {
		if e != nil && len(e.subs) > 0 {
			topic = append(topic[:0], e.topic...)
			yield(topic)
		}
	}
}

// Held returns how many distinct topics p is subscribed to.
func (t *Topics[P]) Held(p P) int {
	if s := t.slots[p]; s != nil {
		return len(s.holds)
	}
	return 0
}

// Total returns how many subscriptions p has, those that repeat a topic included.
func (t *Topics[P]) Total(p P) int {
	if s := t.slots[p]; s != nil {
		return s.total
	}
	return 0
}

// Bytes returns the lengths of the topics that p is subscribed to, each counted once.
func (t *Topics[P]) Bytes(p P) int {
	if s := t.slots[p]; s != nil {
		return s.bytes
	}
	return 0
}

// Count returns how many distinct topics are subscribed to.
func (t *Topics[P]) Count() int { return t.count }
