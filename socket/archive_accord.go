package socket

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// accord is what the members of a durable subscription that take part agree on: what they are subscribed to. What one wants and the others do not would be passed over while it is away,
// for good, with nobody told.
type accord struct {
	mu     sync.Mutex // guards the fields below; taken under subscribed.lookMu, before subscribed.mu
	parts  map[*subscribed]struct{}
	digest uint64 // of the topics of each of them
}

// enter has a member take part, or go on with other topics. The error, after which it does not, names what it and the others differ in.
func (a *accord) enter(d *subscribed) error {
	d.mu.Lock()
	digest := d.digest
	d.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.parts, d)
	if len(a.parts) > 0 && digest != a.digest {
		var other *subscribed
		for other = range a.parts { // whichever it is
			break
		}
		return fmt.Errorf("%w: its members are to subscribe to the same topics: others alone have %s, this one alone has %s", ErrState, other.beyond(d), d.beyond(other))
	}
	if a.parts == nil {
		a.parts = map[*subscribed]struct{}{}
	}
	a.parts[d], a.digest = struct{}{}, digest
	return nil
}

// leave has a member take part no more.
func (a *accord) leave(d *subscribed) {
	a.mu.Lock()
	delete(a.parts, d)
	a.mu.Unlock()
}

// beyond lists the topics that other has not.
func (d *subscribed) beyond(other *subscribed) string {
	d.mu.Lock()
	topics := sortedTopics(d.topics.Len(), func(yield func([]byte)) {
		d.topics.Each(func(topic []byte, _ int) { yield(topic) })
	})
	d.mu.Unlock()
	other.mu.Lock()
	topics = slices.DeleteFunc(topics, func(topic string) bool { return other.topics.Has([]byte(topic)) })
	other.mu.Unlock()
	if len(topics) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.50q", strings.Join(topics, " ")) // two of these and the rest are to fit in 255 octets, which is what a peer can be told
}
