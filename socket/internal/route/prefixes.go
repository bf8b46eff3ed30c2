package route

// Prefixes is a subscriber's own set of topics, counted: a Topics with a single pipe. What Add and Remove
// report is what has to be told to the publishers: one SUBSCRIBE for the first, one CANCEL for the last.
// That is right with publishers that count (RFC 29: subscriptions are additive) and with those that do
// not (libzmq keeps one entry per peer and topic).
type Prefixes struct{ topics Topics[struct{}] }

// Add adds topic, which it does not keep, and reports whether it is new to the set.
func (s *Prefixes) Add(topic []byte) (first bool) {
	return s.topics.Subscribe(struct{}{}, topic)
}

// Remove takes one Add of topic back. It reports as last whether the topic has left the set, and as known
// whether it was in it at all.
func (s *Prefixes) Remove(topic []byte) (last, known bool) {
	return s.topics.Unsubscribe(struct{}{}, topic)
}

// Match reports whether topic begins with one of the set. It does not allocate.
func (s *Prefixes) Match(topic []byte) bool {
	h := s.topics.seed.prefixes(topic)
	for e := range s.topics.matches(&h) {
		if s.topics.index.subscribed(e) {
			return true
		}
	}
	return false
}

// Has reports whether just this topic is one of the set. It does not allocate.
func (s *Prefixes) Has(topic []byte) bool {
	e := s.topics.find(topic)
	return e != nil && s.topics.index.subscribed(e)
}

// Each calls yield for each topic of the set once, in no particular order, with how often it was added. The slice is
// valid during the call only, and yield must not change the set.
func (s *Prefixes) Each(yield func(topic []byte, times int)) {
	x := &s.topics.index
	var topic []byte
	for e := range x.entries() {
		for _, sub := range x.subs(e) {
			topic = x.appendTopic(topic[:0], e)
			yield(topic, sub.times)
		}
	}
}

// Len returns how many distinct topics the set has.
func (s *Prefixes) Len() int { return s.topics.Count() }
