package link

import (
	"math/bits"
	"time"
)

const (
	// lateFrom is how late a pump is that finds no processor: beside goroutines that compute, one of which may be the sender, the runtime gives it one after 10 ms or more. Where one is free it takes
	// microseconds.
	lateFrom = time.Millisecond
	// lateFor is how long pumps are taken to be late after one was. Then one is called again, and what it is called for waits.
	lateFor = time.Second
	// sparePause and maxSpares bound what a socket's callers write meanwhile though it is not alone: small bursts, and so little of a large one that it does not show.
	sparePause = 250 * time.Microsecond
	maxSpares  = 16
	// lateQueues is how many connections a socket may have for its pumps to be looked at: more are late for each other at full speed.
	lateQueues = 2
)

// lateness is of the pumps of a socket. calm.mu guards it.
type lateness struct {
	is     bool          // they are late
	until  time.Duration // since epoch, when that is forgotten
	spares int           // how many messages that are not alone may be written at once
	filled time.Duration // since epoch, when spares was last added to
}

// note has pumps taken to be late if one that was called then has not come before now.
func (l *lateness) note(called, now time.Duration) {
	if now-called < lateFrom {
		return
	}
	if !l.at(now) {
		l.is, l.spares, l.filled = true, maxSpares, now
	}
	l.until = now + lateFor
}

// at reports whether pumps are late.
func (l *lateness) at(now time.Duration) bool {
	l.is = l.is && now < l.until
	return l.is
}

// spare reports whether a message that is not alone is to be written at once while pumps are late.
func (l *lateness) spare(now time.Duration) bool {
	if n := (now - l.filled) / sparePause; n > 0 {
		l.spares = min(l.spares+int(min(n, maxSpares)), maxSpares)
		l.filled += n * sparePause
	}
	if l.spares == 0 {
		return false
	}
	l.spares--
	return true
}

// late is alone for a message that is queued while a pump is on its way since called. Only while pumps are late it is noted.
func (c *calm) late(called time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(epoch)
	c.lateness.note(called, now)
	return c.lateness.at(now) && c.aloneLocked(now, true)
}

// callLocked notes that the pump is called.
func (o *Out) callLocked() {
	if o.Line != nil && o.Line.members.Load() <= lateQueues {
		o.called = time.Since(epoch)
	}
}

// comeLocked notes that the pump has come.
func (o *Out) comeLocked() {
	if o.called == 0 {
		return
	}
	c := &o.Line.calm
	c.mu.Lock()
	c.lateness.note(o.called, time.Since(epoch))
	c.mu.Unlock()
	o.called = 0
}

// lateLocked is asked about a message while the pump sleeps not, and writes not. It reports whether to write it at once, with what is queued before it, since the pump has been called and does not come. The clock is asked
// about a message only when as many are queued again as the last time (see also beginRowLocked).
func (o *Out) lateLocked() bool {
	if o.called == 0 || bits.OnesCount(uint(o.msgs)) != 1 || o.Line.Long() {
		return false
	}
	late := o.Line.calm.late(o.called)
	if late {
		o.lonely = o.total
	}
	return late
}
