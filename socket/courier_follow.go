package socket

import (
	"container/heap"
	"maps"
	"slices"
	"time"
)

// follow has a courier go on after the one before it, if there is one, when that is over: with its counters, and with what it had decided about messages. It reads these once more, like all
// that is not settled, so that they keep their place among others of their key.
func (c *courier) follow() {
	prior := c.prior
	if prior == nil {
		return
	}
	<-prior.over
	c.before = max(prior.before, prior.top)
	c.decided = prior.decided
	maps.DeleteFunc(c.decided, func(number uint64, _ retry) bool { return number < prior.ahead.at }) // it was lost
	for _, r := range slices.Concat(prior.waiting, prior.doomed) {
		c.decided[r.number] = r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.add(prior.counted())
	c.prior = nil
}

// abide keeps to what the courier before had decided about a message. It reports whether that is not to be handed out now.
func (c *courier) abide(d *delivery) bool {
	r, found := c.decided[d.number]
	if !found {
		return false
	}
	delete(c.decided, d.number)
	switch {
	case r.due.IsZero():
		c.doomed = append(c.doomed, r)
	case r.due.After(time.Now()):
		heap.Push(&c.waiting, r)
	default:
		return false
	}
	if c.lanes != nil {
		c.lanes.hold(d)
	}
	return true
}
