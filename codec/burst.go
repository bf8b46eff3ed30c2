package codec

import (
	"sync/atomic"
	"time"
)

// bursts are those of the envelopes of a Stencil. Each Stencil has its own, since in tests with testing/synctest clocks differ.
type bursts struct {
	current atomic.Pointer[burst] // nil while there is none
	timed   atomic.Bool           // something will end it
}

// burst is what envelopes share where one comes right after the other: the time of the first of burstMessages, unless burstAge has passed. A look at the
// clock takes as long as all else about such an envelope.
type burst struct {
	last      uint64 // the stamp of its last ID
	timestamp uint64 // of 8 bytes
}

const (
	// burstMessages is enough that looking at the clock costs little, and few enough that at full speed the time is true to some microseconds.
	burstMessages = 16
	// burstGap is at most between two messages that begin one, 4 us in stamps: whoever sends less often can afford the clock.
	burstGap = 16
	// burstAge bounds how far behind a message is that comes alone after some that did not. Where all processors are busy a time slice comes on top,
	// and after a stop of the process or the machine all of that, until the timer has run.
	burstAge = time.Millisecond
)

// draw returns the stamp of a new ID, and the timestamp of 8 bytes that goes with it.
func (c *bursts) draw() (stamp, timestamp uint64) {
	b := c.current.Load()
	if b != nil {
		if stamp = lastStamp.Add(1); stamp <= b.last {
			return stamp, b.timestamp
		}
	}
	now := nanos()
	stamp, before := nextStamp(now)
	timestamp = uint64(now%1e9)<<timestamp64Secs | uint64(now/1e9)
	if stamp-before <= burstGap {
		c.begin(b, &burst{stamp + burstMessages - 1, timestamp})
	}
	return stamp, timestamp
}

// begin has a burst follow the one before, unless another did: its time may be earlier.
func (c *bursts) begin(before, b *burst) {
	if c.current.CompareAndSwap(before, b) && !c.timed.Load() && !c.timed.Swap(true) {
		time.AfterFunc(burstAge, c.end)
	}
}

func (c *bursts) end() {
	c.timed.Store(false) // first, so that nothing begins that nobody would end
	c.current.Store(nil)
}
