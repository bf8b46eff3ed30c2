package route

// Topics knows which pipes want a topic. A subscription is a prefix, compared byte by byte with the first
// frame of a message; the empty one matches everything. Subscriptions are counted per pipe and topic.
//
// RFC 29: subscriptions are additive and not idempotent: a topic that a pipe subscribed to twice has to be
// unsubscribed from twice.
//
// Subscribe and Unsubscribe take time proportional to the length of the topic and of its neighbours' common
// parts, matching to the length of the topic, whatever the number of subscriptions. Memory is proportional
// to the subscribed bytes. The caller bounds topic length and subscriptions per pipe.
type Topics[P comparable] struct {
	root  node[P]
	slots map[P]*slot[P] // the pipes with at least one subscription
	count int            // distinct topics
	stamp uint64         // the number of the latest match
}

// slot is what Topics keeps of a pipe.
type slot[P comparable] struct {
	pipe  P
	stamp uint64            // the latest match that found this pipe
	holds map[*node[P]]hold // its subscriptions
	total int               // how many those are, repeated ones included
	bytes int               // the lengths of the topics, each counted once
}

// hold is one subscription of a pipe. Invariant: node.subs[at] is the pipe's slot.
type hold struct {
	times int // subscribed this often
	at    int
}

// Subscribe adds one subscription of p to topic, which it does not keep. It reports as first whether no
// pipe had this topic before: what has to be passed upstream.
func (t *Topics[P]) Subscribe(p P, topic []byte) (first bool) {
	s := t.slots[p]
	if s == nil {
		s = &slot[P]{pipe: p, holds: make(map[*node[P]]hold)}
		if t.slots == nil {
			t.slots = make(map[P]*slot[P])
		}
		t.slots[p] = s
	}
	n := t.root.insert(topic)
	h, again := s.holds[n]
	if !again {
		h.at = len(n.subs)
		n.subs = append(n.subs, s)
		s.bytes += len(topic)
	}
	h.times++
	s.total++
	s.holds[n] = h
	first = !again && len(n.subs) == 1
	if first {
		t.count++
	}
	return first
}

// Unsubscribe takes one subscription of p to topic back. It reports as last whether nobody has the topic
// any more, and as known whether p had it at all; if not, nothing has changed.
func (t *Topics[P]) Unsubscribe(p P, topic []byte) (last, known bool) {
	s := t.slots[p]
	n := t.root.find(topic)
	if s == nil || n == nil {
		return false, false
	}
	h, known := s.holds[n]
	if !known {
		return false, false
	}
	s.total--
	if h.times > 1 {
		h.times--
		s.holds[n] = h
		return false, true
	}
	last = t.drop(n, h.at)
	s.bytes -= len(topic)
	delete(s.holds, n)
	if len(s.holds) == 0 {
		delete(t.slots, p)
	}
	return last, true
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
	for n, h := range s.holds {
		if gone != nil {
			topic = n.topic(topic) // before the drop, which may take n off its parents
		}
		if last := t.drop(n, h.at); gone != nil {
			gone(topic, h.times, last)
		}
	}
}

// drop takes the subscriber at the given place off n, and reports whether it was the last. The caller
// takes n off the subscriber.
func (t *Topics[P]) drop(n *node[P], at int) (last bool) {
	n.subs = removeAt(n.subs, at)
	if len(n.subs) == 0 {
		t.count--
		n.prune()
		return true
	}
	if at < len(n.subs) {
		moved := n.subs[at]
		h := moved.holds[n]
		h.at = at
		moved.holds[n] = h
	}
	return false
}

// Match calls yield for each pipe that wants topic, exactly once however many of its subscriptions match,
// in no particular order. It does not allocate. yield must not change the Topics.
func (t *Topics[P]) Match(topic []byte, yield func(P)) {
	t.stamp++
	for n, rest := &t.root, topic; n != nil; n, rest = n.step(rest) {
		for _, s := range n.subs {
			if s.stamp != t.stamp {
				s.stamp = t.stamp
				yield(s.pipe)
			}
		}
	}
}

// AppendMatch appends what Match would yield to dst. It allocates only where dst has to grow.
func (t *Topics[P]) AppendMatch(dst []P, topic []byte) []P {
	t.stamp++
	for n, rest := &t.root, topic; n != nil; n, rest = n.step(rest) {
		for _, s := range n.subs {
			if s.stamp != t.stamp {
				s.stamp = t.stamp
				dst = append(dst, s.pipe)
			}
		}
	}
	return dst
}

// AppendExact is AppendMatch for those alone who subscribed to just this topic: RFC 48 compares groups as a whole.
func (t *Topics[P]) AppendExact(dst []P, topic []byte) []P {
	if n := t.root.find(topic); n != nil {
		for _, s := range n.subs {
			dst = append(dst, s.pipe)
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
	for _, s := range t.slots {
		for n, h := range s.holds {
			if h.at == 0 {
				topic = n.topic(topic)
				yield(topic)
			}
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
