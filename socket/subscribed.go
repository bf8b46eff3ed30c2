package socket

import "slices"

// Topics returns what the connected peers are subscribed to, each topic once, sorted.
func (f *fanout) Topics() []string {
	if f.c == nil {
		return nil
	}
	f.mu.Lock()
	var topics []string
	f.topics.Each(func(topic []byte) { topics = append(topics, string(topic)) })
	f.mu.Unlock()
	slices.Sort(topics)
	return topics
}
