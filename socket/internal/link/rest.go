package link

import (
	"runtime"
	"slices"
	"time"
)

// While the caller writes full chunks the pump rests: small writes in between would cost more than they bring. That is the delay of the last messages of a burst, unless who sent them
// waits for an answer next (FlushHot), or the peer is in this process and finds nothing more to read (want): so it begins with shortRest and doubles as long as the burst goes on, up to longRest.
const (
	shortRest = 30 * time.Microsecond
	longRest  = 32 * shortRest
	// yields is how often the pump gives way to a caller who queues nothing until it takes a burst for over: with nothing else to do that is some microseconds.
	yields = 40
)

// restLocked holds the pump back until no more is queued, or a long rest has passed in which the caller did not write.
func (o *Out) restLocked() {
	o.asleep = false
	for o.pause = max(o.pause, shortRest); ; o.pause = min(2*o.pause, longRest) {
		o.hot, o.resting, o.wanted = false, true, false
		o.rests++
		seen := o.total
		if !endRestInTime(o, o.rests, o.pause) {
			o.endRestLater()
		}
		for o.resting && !o.stopping {
			o.wake.Wait()
		}
		if o.wanted && o.goesOnLocked() {
			continue
		}
		if o.stopping || o.refused || o.wanted {
			break
		}
		if o.total == seen {
			o.pause = shortRest
			break
		}
		if o.pause == longRest && !o.hot {
			break
		}
	}
	o.hot, o.resting = false, false
}

// endRestLater has the runtime's timers end the rest: up to a millisecond late on Linux, where a process that has nothing else to do waits in milliseconds.
func (o *Out) endRestLater() {
	if o.alarm != nil {
		o.alarm.Reset(o.pause)
		return
	}
	o.alarm = time.AfterFunc(o.pause, func() {
		o.mu.Lock()
		o.endRestLocked()
		o.mu.Unlock()
	})
}

func (o *Out) endRestLocked() {
	if o.resting {
		o.resting = false
		o.wake.Broadcast()
	}
}

// endRest ends the rest of a number, if it is still that.
func (o *Out) endRest(number uint64) {
	o.mu.Lock()
	if o.rests == number {
		o.endRestLocked()
	}
	o.mu.Unlock()
}

// refuseLocked notes that somebody found no room, and will be told by Room. Within the process, where a connection holds little, the pump then writes at once; elsewhere what the system
// holds keeps the peer busy, and to wait until it took more saves writes.
func (o *Out) refuseLocked() {
	o.refused = true
	if o.conn != nil && o.conn.give != nil {
		o.hot = false
		o.endRestLocked()
	}
}

// want is called when a peer within the process finds nothing to read: the rest ends then, since nothing else tells in time that a burst is over.
func (o *Out) want() {
	o.mu.Lock()
	o.hot, o.wanted = false, true
	o.endRestLocked()
	o.mu.Unlock()
}

// goesOnLocked gives way to the caller for as long as that goes on, and reports whether it has written a full chunk itself.
func (o *Out) goesOnLocked() bool {
	for n, seen := 0, o.total; n < yields && !o.hot && !o.stopping; n++ {
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if o.total != seen {
			n, seen = 0, o.total
		}
	}
	return o.hot
}

// heatLocked has the pump hold back, as the caller writes.
func (o *Out) heatLocked() {
	o.hot = true
	o.leaveLocked()
}

// leaveLocked notes that something is left to a pump that holds back, for FlushHot and for a peer within the process.
func (o *Out) leaveLocked() {
	o.holds.Store(true)
	if o.Line == nil || o.heated {
		return
	}
	o.heated = true
	o.Line.mu.Lock()
	o.Line.hot = append(o.Line.hot, o)
	o.Line.mu.Unlock()
	o.Line.heated.Store(true)
}

// coolLocked takes o, which loses its connection, from among those that are hot.
func (o *Out) coolLocked() {
	if !o.heated {
		return
	}
	o.heated = false
	o.Line.mu.Lock()
	if i := slices.Index(o.Line.hot, o); i >= 0 {
		o.Line.hot = slices.Delete(o.Line.hot, i, i+1)
	}
	o.Line.mu.Unlock()
}

// FlushHot writes what callers have left to pumps that hold back. It is for who is about to wait for a peer, and so writes no more. No lock is held.
func (l *Line) FlushHot() {
	if !l.heated.Load() {
		return
	}
	l.mu.Lock()
	hot := l.hot
	l.hot, l.cold = l.cold[:0], nil
	l.heated.Store(false)
	l.mu.Unlock()
	for _, o := range hot {
		o.mu.Lock()
		o.heated = false
		o.flushLocked()
		o.mu.Unlock()
	}
	clear(hot)
	l.mu.Lock()
	l.cold = hot[:0]
	l.mu.Unlock()
}
