package link

import "time"

// calmPause is how far apart messages are that their sender writes itself. It is less than a round trip, so that stages which pass messages on one by one are
// calm, and four times what a write takes: closer ones are written together.
const calmPause = 20 * time.Microsecond

// calmTurns is how many messages in a row have to be alone: where a clock that ticks now brings one and now two, those are to be written together.
const calmTurns = 4

// epoch is what Out.lone counts from.
var epoch = time.Now()

// calmLocked is asked while the pump sleeps. It reports whether to write the message just queued at once since it is alone, as those before it were: to wake
// the pump for one message takes more than to write it. Where messages go to many queues it does not pay.
func (o *Out) calmLocked() bool {
	if o.msgs > 1 {
		return false
	}
	before, last := o.lone, o.lonely
	o.lone, o.lonely = time.Since(epoch), o.total
	if o.lone-before < calmPause || o.total-last > 1 {
		o.calm = 0
		return false
	}
	o.calm = min(o.calm+1, calmTurns)
	return o.calm == calmTurns
}

// turnLocked notes that the message just queued is the first of a turn: of what is said since the peer spoke. It reports whether to write it at
// once: if one was enough the last time. Several in a row the pump writes together, which takes half of what it takes to write the first by itself.
func (o *Out) turnLocked() (soon bool) {
	o.spoke.Store(false)
	before := o.total - 1
	soon = before-o.turn <= 1
	o.turn = before
	return soon
}
