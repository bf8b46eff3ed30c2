package link

import (
	"slices"
	"time"
)

// Detach takes the connection away, which must be closed, and returns when nobody writes to it any
// more. With keep the messages that did not go out wait for the next connection, in order;
// without, the queue is emptied and their number returned.
func (o *Out) Detach(keep bool) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopping = true
	o.wake.Broadcast()
	for o.pumping || o.writing {
		o.wake.Wait()
	}
	o.asleep = false
	o.coolLocked()
	if o.conn != nil && o.Line != nil {
		o.Line.members.Add(-1)
		o.Line.all().connections.Add(-1)
	}
	o.conn = nil
	o.ctrl = nil
	if o.kept != nil {
		o.endKeptLocked()
		return 0
	}
	if len(o.flight) > 0 {
		begun, before := o.sent > o.control, o.msgs
		o.segs = append(o.returnFlight(), o.segs...)
		o.flight = nil
		o.recountLocked()
		o.landed += uint64(before - o.msgs)
		o.countCut(begun)
	}
	if !keep {
		return o.dropLocked()
	}
	o.recountLocked()
	lost = o.refusedLocked()
	o.staleLocked()
	o.reportLocked()
	return lost
}

// countCut notes how a connection ended. begun says that something of a message was written.
func (o *Out) countCut(begun bool) {
	switch {
	case o.landed > 0:
		o.cuts = 0
		if begun {
			o.cuts = 1
		}
	case begun:
		o.cuts++
	}
}

// refusedLocked drops the first message if it is refused. It returns how many it dropped.
func (o *Out) refusedLocked() int {
	if o.MaxCuts == 0 || o.cuts < o.MaxCuts || o.msgs == 0 {
		return 0
	}
	o.cuts = 0
	first := true
	messages(o.segs, func(m queued) bool {
		if !first {
			o.segs = cut(o.segs, m.begin)
		}
		first = !first
		return !first
	})
	if o.msgs == 1 {
		return o.dropLocked()
	}
	o.recountLocked()
	return 1
}

// staleLocked drops what came back from a lost connection if a queue of one message has a later one. It gives up o.mu while it calls back.
func (o *Out) staleLocked() {
	if !o.conflates || o.msgs < 2 {
		return
	}
	shed := o.msgs - 1
	messages(o.segs, func(m queued) bool {
		if o.msgs > 1 {
			o.msgs--
			return true
		}
		o.segs = cut(o.segs, m.begin)
		return false
	})
	o.recountLocked()
	o.mu.Unlock()
	o.Shed(shed)
	o.mu.Lock()
}

// returnFlight takes back what a lost connection left of the flight, without commands.
func (o *Out) returnFlight() []segment {
	flight, sent := o.flight, o.sent
	if o.control > 0 {
		flight = flight[1:]
		sent = max(0, sent-o.control)
	}
	return slices.Clone(unsent(flight, sent))
}

func (o *Out) recountLocked() {
	o.msgs, o.bytes = 0, 0
	for i := range o.segs {
		o.msgs += o.segs[i].msgs
		o.bytes += o.segs[i].size
	}
}

// Drop empties the queue and returns how many messages it held.
func (o *Out) Drop() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropLocked()
}

func (o *Out) dropLocked() int {
	o.recountLocked()
	lost := o.msgs
	for i := range o.segs {
		o.segs[i].recycle()
	}
	o.segs = nil
	o.msgs, o.bytes = 0, 0
	for i := range o.flight { // what is being written is not dropped
		o.msgs += o.flight[i].msgs
		o.bytes += o.flight[i].size
	}
	return lost
}

// Take empties the queue and returns what it held. Nobody may be writing: see Detach.
func (o *Out) Take() Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recountLocked()
	b := Batch{Msgs: o.msgs, Bytes: o.bytes}
	for i := range o.segs {
		b.data = append(b.data, o.segs[i].b...)
	}
	o.dropLocked()
	return b
}

// lastWait is how long Last waits for a peer to take what it is told: one that reads does so in less, another does not care.
const lastWait = 100 * time.Millisecond

// Last writes a command as the last thing on the connection, behind what is being written, and returns when that is done or a
// moment has passed. The caller closes the connection next.
func (o *Out) Last(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	conn := o.conn
	if conn == nil {
		return
	}
	if !o.last { // else another caller has had the word: its command is waited for
		o.last = true
		o.ctrl = append(o.ctrl, frame...)
		o.wakeLocked()
		for range 2 { // what is in flight, and the commands: on a busy machine the pump may have to wait for longer than the peer is given
			o.flushLocked()
		}
	}
	over := false
	timer := time.AfterFunc(lastWait, func() {
		o.mu.Lock()
		over = true
		o.wake.Broadcast()
		o.mu.Unlock()
	})
	defer timer.Stop()
	for !over && o.conn == conn && o.err == nil && !o.stopping && len(o.ctrl)+o.control > 0 {
		o.wake.Wait()
	}
}
