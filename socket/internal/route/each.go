package route

// Each calls yield for each topic that somebody subscribed to once, in no particular order. The slice is valid during the
// call only, and yield must not change the Topics.
func (t *Topics[P]) Each(yield func(topic []byte)) {
	var topic []byte
	for _, s := range t.slots {
		for n, h := range s.holds {
			if h.at == 0 { // the first of its subscribers
				topic = n.topic(topic)
				yield(topic)
			}
		}
	}
}
