package link

import (
	"math/bits"
	"sync/atomic"
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
	// latePumps is how many connections a process may have for its pumps to be looked at: the callers and readers of more keep the processors busy themselves, and what they say is better written together.
	latePumps = 4
)

// pumps are those of a process.
type pumps struct {
	connections atomic.Int32
	// came is when one came last that was called, in nanoseconds since epoch. Where others come, one that does not is behind them in the runtime's queue, and not behind goroutines that compute.
	came atomic.Int64
}

// process has all pumps, but those of tests that have a clock of their own.
var process pumps

// lateness is of the pumps of a socket. calm.mu guards it.
type lateness struct {
	is     bool          // they are late
	until  time.Duration // since epoch, when that is forgotten
	spares int           // how many messages that are not alone may be written at once
	filled time.Duration // since epoch, when spares was last added to
}

// note has pumps taken to be late if one that was called then has not come before now, and neither has another since.
func (l *lateness) note(called, now, came time.Duration) {
	if now-called < lateFrom || came >= called {
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
func (l *Line) late(called time.Duration) bool {
	c := &l.calm
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(epoch)
	c.lateness.note(called, now, time.Duration(l.all().came.Load()))
	return c.lateness.at(now) && c.aloneLocked(now, true)
}

// all are the pumps of the process.
func (l *Line) all() *pumps {
	if l.pumps != nil {
		return l.pumps
	}
	return &process
}

// callLocked notes that the pump is called.
func (o *Out) callLocked() {
	if o.Line != nil && o.Line.all().connections.Load() <= latePumps {
		o.called = time.Since(epoch)
	}
}

// comeLocked notes that the pump has come.
func (o *Out) comeLocked() {
	if o.called == 0 {
		return
	}
	c, last, now := &o.Line.calm, &o.Line.all().came, time.Since(epoch)
	if now-o.called >= lateFrom {
		c.mu.Lock()
		c.lateness.note(o.called, now, time.Duration(last.Load()))
		c.mu.Unlock()
	}
	last.Store(int64(now))
	o.called = 0
}

// lateLocked is asked about a message while the pump sleeps not, and writes not. It reports whether to write it at once, with what is queued before it, since the pump has been called and does not come. The clock is asked
// about a message only when as many are queued again as the last time (see also beginRowLocked).
func (o *Out) lateLocked() bool {
	if o.called == 0 || bits.OnesCount(uint(o.msgs)) != 1 || o.Line.Long() {
		return false
	}
	late := o.Line.late(o.called)
	if late {
		o.lonely = o.total
	}
	return late
}
