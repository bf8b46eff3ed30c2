package link

import (
	"sync"
	"time"
)

// calmPause is how far apart messages are that their sender writes itself. It is less than a round trip, so that stages which pass messages on one by one are
// calm, and four times what a write takes: closer ones are written together.
const calmPause = 20 * time.Microsecond

// calmTurns is how many messages in a row have to be alone: where a clock that ticks now brings one and now two, those are to be written together.
const calmTurns = 4

// epoch is what calm.since counts from.
var epoch = time.Now()

// calm tells whether a socket sends one message now and then. Only messages are looked at for which a pump would be woken, or is on its way.
type calm struct {
	mu       sync.Mutex    // guards the fields below; nothing else is taken under it
	since    time.Duration // since epoch, when the last one came
	turns    int           // such messages in a row that were alone, up to calmTurns
	lateness lateness
}

// alone notes a message. behind says that it is not the first in its queue since the last one that was noted there. It reports whether to write it at once.
func (c *calm) alone(behind bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aloneLocked(time.Since(epoch), behind)
}

// aloneLocked is alone. While pumps are late one is enough, and there are spares for those that follow at once.
func (c *calm) aloneLocked(now time.Duration, behind bool) bool {
	before, late := c.since, c.lateness.at(now)
	c.since = now
	if now-before < calmPause || behind && !late {
		c.turns = 0
		return late && c.lateness.spare(now)
	}
	c.turns = min(c.turns+1, calmTurns)
	return late || c.turns == calmTurns
}

// calmLocked is asked about the only message in the queue while the pump sleeps. It reports whether to write it at once since it is alone among those of the socket, as those before it
// were: to wake the pump for one message takes more than to write it.
func (o *Out) calmLocked() bool {
	behind := o.total-o.lonely > 1
	o.lonely = o.total
	return o.Line != nil && o.Line.calm.alone(behind)
}

// answersLocked notes that the message just queued is the first since the peer spoke. It reports whether to write it at once: if one was enough the last time. Several in a row the pump
// writes together, which takes half of what it takes to write the first by itself.
func (o *Out) answersLocked() (soon bool) {
	o.spoke.Store(false)
	before := o.total - 1
	soon = before-o.turn <= 1
	o.turn = before
	return soon
}
