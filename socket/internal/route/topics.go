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
	index index
	sizes []size    // by bytes
	slots []slot[P] // pipes; those that are not used are in spare
	spare []uint32
	pipes map[P]uint32 // which slots the pipes with at least one subscription have
	count int          // distinct topics
	stamp uint64       // the number of the latest match
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
	stamp uint64 // the latest match that found this pipe
	holds []hold // its subscriptions
	total int    // how many those are, repeated ones included
	bytes int    // the lengths of the topics, each counted once
}

// Subscribe adds one subscription of p to topic, which it does not keep. It reports as first whether no
// pipe had this topic before: what has to be passed upstream.
func (t *Topics[P]) Subscribe(p P, topic []byte) (first bool) {
	slot := t.slot(p)
	s := &t.slots[slot]
	s.total++
	e := t.entry(topic)
	if at := t.index.where(e, slot); at >= 0 {
		t.index.subs(e)[at].times++
		return false
	}
	at := t.index.join(e, sub{slot: slot, at: uint32(len(s.holds)), times: 1})
	s.holds = append(s.holds, hold{e.hash, uint32(at)})
	s.bytes += len(topic)
	if at > 0 {
		return false
	}
	t.count++
	t.anchor(topic, 1)
	return true
}

// slot returns the slot of a pipe, and makes it if need be.
func (t *Topics[P]) slot(p P) uint32 {
	i, known := t.pipes[p]
	if known {
		return i
	}
	if n := len(t.spare); n > 0 {
		i, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		i, t.slots = uint32(len(t.slots)), append(t.slots, slot[P]{})
	}
	if t.pipes == nil {
		t.pipes = make(map[P]uint32)
	}
	t.pipes[p], t.slots[i] = i, slot[P]{pipe: p}
	return i
}

// vacate gives back the slot of a pipe without subscriptions.
func (t *Topics[P]) vacate(i uint32) {
	delete(t.pipes, t.slots[i].pipe)
	t.slots[i] = slot[P]{}
	if t.spare = append(t.spare, i); len(t.pipes) == 0 {
		t.slots, t.spare = nil, nil
	}
}

// entry returns the entry of topic, and makes it if need be.
func (t *Topics[P]) entry(topic []byte) *entry {
	if len(topic) == 0 {
		return &t.index.all
	}
	t.seed.draw()
	hash := t.seed.hash(topic)
	e := t.index.find(topic, hash)
	if e == nil {
		e = t.index.insert(topic, hash)
		t.resize(len(topic), 1)
	}
	return e
}

// anchor counts topic in or out at its anchors.
func (t *Topics[P]) anchor(topic []byte, by int32) {
	for n := firstAnchor; n < len(topic); n *= anchorStep {
		e := t.entry(topic[:n])
		r := t.index.extend(e)
		r.longer += by
		r.lengths |= lengthBit(min(len(topic), n*anchorStep), n)
		t.release(e, n)
	}
}

// release takes out e, whose topic is so long, if it is of no use any more.
func (t *Topics[P]) release(e *entry, bytes int) {
	t.index.curtail(e)
	if _, longer := t.index.longer(e); !longer && !t.index.subscribed(e) && e != &t.index.all {
		t.index.remove(e)
		t.resize(bytes, -1)
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
	slot, known := t.pipes[p]
	if !known {
		return false, false
	}
	e := t.find(topic)
	if e == nil {
		return false, false
	}
	at := t.index.where(e, slot)
	if at < 0 {
		return false, false
	}
	s := &t.slots[slot]
	s.total--
	if times := &t.index.subs(e)[at].times; *times > 1 {
		*times--
		return false, true
	}
	s.bytes -= len(topic)
	last = t.drop(e, at, topic)
	if len(s.holds) == 0 {
		t.vacate(slot)
	}
	return last, true
}

// find returns the entry of exactly this topic, or nil.
func (t *Topics[P]) find(topic []byte) *entry {
	if len(topic) == 0 {
		return &t.index.all
	}
	return t.index.find(topic, t.seed.hash(topic))
}

// RemovePipe takes all subscriptions of p back. For each topic it calls gone, unless that is nil, in no particular
// order, with how often p was subscribed to it and whether nobody has it any more; the slice is valid during the call
// only, and gone must not change the Topics. It takes time proportional to what p itself subscribed.
func (t *Topics[P]) RemovePipe(p P, gone func(topic []byte, times int, last bool)) {
	slot, known := t.pipes[p]
	if !known {
		return
	}
	var topic []byte
	for s := &t.slots[slot]; len(s.holds) > 0; {
		i := len(s.holds) - 1
		h := s.holds[i]
		e := t.index.holder(h, slot, uint32(i))
		times := t.index.subs(e)[h.at].times
		topic = t.index.appendTopic(topic[:0], e)
		last := t.drop(e, int(h.at), topic)
		if gone != nil {
			gone(topic, times, last)
		}
	}
	t.vacate(slot)
}

// drop takes the subscriber at a place off e, the entry of topic, and reports whether it was the last. The last one of subs and the last one of the pipe's
// holds move to the places that are free now.
func (t *Topics[P]) drop(e *entry, at int, topic []byte) (last bool) {
	gone := t.index.subs(e)[at]
	t.index.leave(e, at)
	left := t.index.subs(e)
	if at < len(left) {
		t.slots[left[at].slot].holds[left[at].at].at = uint32(at)
	}
	s := &t.slots[gone.slot]
	if end := uint32(len(s.holds) - 1); gone.at < end {
		moved := s.holds[end]
		t.index.subs(t.index.holder(moved, gone.slot, end))[moved.at].at = gone.at
	}
	s.holds = removeAt(s.holds, int(gone.at))
	if len(left) > 0 {
		return false
	}
	t.count--
	t.release(e, len(topic))
	t.anchor(topic, -1)
	return true
}

// Match calls yield for each pipe that wants topic, exactly once however many of its subscriptions match,
// in no particular order. It does not allocate. yield must not change the Topics.
func (t *Topics[P]) Match(topic []byte, yield func(P)) {
	t.stamp++
	h := t.seed.prefixes(topic)
	for e := range t.matches(&h) {
		for _, sub := range t.index.subs(e) {
			if s := &t.slots[sub.slot]; s.stamp != t.stamp {
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
		for _, sub := range t.index.subs(e) {
			if s := &t.slots[sub.slot]; s.stamp != t.stamp {
				s.stamp = t.stamp
				dst = append(dst, s.pipe)
			}
		}
	}
	return dst
}

// matches yields the entries that a topic begins with, anchors among them.
func (t *Topics[P]) matches(h *prefixes) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if !yield(&t.index.all) {
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
				var longer bool
				if lengths, longer = t.index.longer(e); !longer {
					return
				}
			}
		}
	}
}

// AppendExact is AppendMatch for those alone who subscribed to just this topic: RFC 48 compares groups as a whole.
func (t *Topics[P]) AppendExact(dst []P, topic []byte) []P {
	if e := t.find(topic); e != nil {
		for _, s := range t.index.subs(e) {
			dst = append(dst, t.slots[s.slot].pipe)
		}
	}
	return dst
}

// Found reports whether the latest match found p.
func (t *Topics[P]) Found(p P) bool {
	slot, known := t.pipes[p]
	return known && t.slots[slot].stamp == t.stamp
}

// Each calls yield for each topic that is subscribed to once, in no particular order. The slice is valid during the
// call only, and yield must not change the Topics.
func (t *Topics[P]) Each(yield func(topic []byte)) {
	var topic []byte
	for e := range t.index.entries() {
		if t.index.subscribed(e) {
			topic = t.index.appendTopic(topic[:0], e)
			yield(topic)
		}
	}
}

// Held returns how many distinct topics p is subscribed to.
func (t *Topics[P]) Held(p P) int {
	if slot, known := t.pipes[p]; known {
		return len(t.slots[slot].holds)
	}
	return 0
}

// Total returns how many subscriptions p has, those that repeat a topic included.
func (t *Topics[P]) Total(p P) int {
	if slot, known := t.pipes[p]; known {
		return t.slots[slot].total
	}
	return 0
}

// Bytes returns the lengths of the topics that p is subscribed to, each counted once.
func (t *Topics[P]) Bytes(p P) int {
	if slot, known := t.pipes[p]; known {
		return t.slots[slot].bytes
	}
	return 0
}

// Count returns how many distinct topics are subscribed to.
func (t *Topics[P]) Count() int { return t.count }
