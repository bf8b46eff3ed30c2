package link

import (
	"slices"
	"time"
)

// Attach gives the queue a connection and starts writing what is queued. Pump must be running or be
// started next.
func (o *Out) Attach(c *Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake.L = &o.mu
	o.conn, o.err = c, nil
	if o.Line != nil {
		o.Line.members.Add(1)
	}
	o.ctrl, o.settling = append([]byte(nil), o.First...), 0
	o.landed = 0
	o.pumping, o.stopping, o.last, o.asleep = true, false, false, false
	o.spoke.Store(false)
}

// Pump writes whatever is queued until Detach. One goroutine runs it for each Attach; where the line is long it may end earlier, and others follow it. An error of the
// connection ends the writing side, so that the reading side ends too, once all that had arrived is read.
func (o *Out) Pump() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for !o.stopping {
			if o.place {
				o.mu.Unlock()
				o.Line.serve(o)
				o.mu.Lock()
				o.place = false
				continue
			}
			if o.hot {
				o.hot, o.asleep = false, false
				o.mu.Unlock()
				time.Sleep(hotPause)
				o.mu.Lock()
				continue
			}
			if !o.writing && o.pendingLocked() {
				if !o.waitsLocked() {
					o.takeLocked()
					break
				}
				if o.joinLocked() {
					continue
				}
			}
			o.asleep = true
			if o.Line.long() { // of many peers most are idle: it is started again when it is needed
				o.pumping = false
				return
			}
			o.wake.Wait()
		}
		o.asleep = false
		if o.stopping {
			if o.place {
				o.place = false
				o.mu.Unlock()
				o.Line.pass()
				o.mu.Lock()
			}
			o.pumping = false
			o.wake.Broadcast()
			return
		}
		o.writing = true
		conn := o.conn
		vec := o.vector()
		o.mu.Unlock()
		n, err := o.writeAll(conn, vec)
		o.mu.Lock()
		o.finishLocked(n, err)
	}
}

// writeAll writes the flight. The list of its parts is a field, since a local one would be allocated for each call.
func (o *Out) writeAll(c *Conn, vec [][]byte) (int, error) {
	switch len(vec) {
	case 0:
		return o.giveNext(c.give.WriteBody)
	case 1:
		return c.Write(vec[0])
	}
	o.rest = vec
	n, err := o.rest.WriteTo(c.Conn)
	return int(n), err
}

// giveNext gives away the segment that is next in the flight: the vector ended there.
func (o *Out) giveNext(write func([]byte) error) (int, error) {
	skip := o.sent
	for i := range o.flight {
		s := &o.flight[i]
		if skip == 0 && s.given() {
			if err := write(s.b); err != nil {
				return 0, err
			}
			s.copied, s.pooled = nil, nil
			return len(s.b), nil
		}
		skip -= len(s.b)
	}
	return 0, nil // never
}

// Flush writes what is queued as far as it can without blocking, unless somebody writes already. The
// pump does the rest.
func (o *Out) Flush() {
	o.mu.Lock()
	o.flushLocked()
	o.mu.Unlock()
}

// flushLocked is Flush. It gives up o.mu while it writes.
func (o *Out) flushLocked() {
	if o.writing || o.conn == nil || o.conn.try == nil || !o.takeLocked() {
		return
	}
	o.writing = true
	conn := o.conn
	vec := o.vector()
	o.mu.Unlock()
	written := 0
	var err error
	if len(vec) == 0 {
		written, err = o.giveNext(conn.give.TryWriteBody)
	}
	for _, b := range vec {
		var n int
		n, err = conn.try.TryWrite(b)
		written += n
		if err != nil || n < len(b) {
			break
		}
	}
	if wouldBlock(err) {
		err = nil
	}
	o.mu.Lock()
	o.finishLocked(written, err)
	if o.pendingLocked() {
		o.wakeLocked()
	}
}

// pendingLocked reports whether takeLocked would find something to write.
func (o *Out) pendingLocked() bool {
	return o.conn != nil && o.err == nil && (len(o.flight) > 0 || len(o.ctrl) > 0 || len(o.segs) > 0 && !o.last)
}

// takeLocked makes sure that flight holds what is to be written next; false when there is nothing, or no
// connection that could be written.
func (o *Out) takeLocked() bool {
	if o.conn == nil || o.err != nil {
		return false
	}
	if len(o.flight) > 0 {
		return true
	}
	o.sent, o.control = 0, 0
	if len(o.ctrl) > 0 {
		o.flight = append(o.flight, segment{b: o.ctrl})
		o.control = len(o.ctrl)
		o.ctrl, o.settling = nil, 0
	}
	taken := 0
	for i := range o.segs {
		if o.last {
			break
		}
		taken += len(o.segs[i].b)
		if i == len(o.segs)-1 || o.segs[i].whole && (taken >= flightBytes || o.givesLocked(&o.segs[i])) {
			o.flight = append(o.flight, o.segs[:i+1]...)
			o.segs = slices.Delete(o.segs, 0, i+1)
			break
		}
	}
	return len(o.flight) > 0
}

// finishLocked hands the baton back after n bytes were written, and reports what follows from it. It
// gives up o.mu while it calls back.
func (o *Out) finishLocked(n int, err error) {
	o.writing = false
	o.sent += n
	total := 0
	for i := range o.flight {
		total += len(o.flight[i].b)
	}
	if err != nil {
		o.err = err
		conn := o.conn
		o.mu.Unlock()
		conn.giveUp() // in the end the reader detaches
		o.mu.Lock()
	} else if o.sent == total {
		o.landLocked()
	}
	if o.stopping || o.last {
		o.wake.Broadcast()
	}
	o.reportLocked()
}

// landLocked returns the segments of a flight that is written.
func (o *Out) landLocked() {
	for i := range o.flight {
		s := &o.flight[i]
		o.landed += uint64(s.msgs)
		o.msgs -= s.msgs
		o.bytes -= s.size
		o.releaseLocked(s)
	}
	o.flight = o.flight[:0]
	o.sent, o.control = 0, 0
	if o.kept != nil {
		o.kept.land(o.landed)
	}
}

// releaseLocked gives back what a segment is made of.
func (o *Out) releaseLocked(s *segment) {
	if s.small && cap(s.b) == smallChunk {
		o.spare = s.b[:0]
	}
	s.recycle()
}

// reportLocked calls Room and Drained where they are owed. o.mu is given up meanwhile.
func (o *Out) reportLocked() {
	if o.kept != nil {
		o.reportKeptLocked()
		return
	}
	room := o.refused && o.msgs <= o.HWM/2 || o.refused && o.HWM == 0
	room = room && (o.HWMBytes == 0 || o.bytes <= o.HWMBytes/2)
	drained := o.watched && o.msgs == 0
	if !room && !drained {
		return
	}
	if room {
		o.refused = false
	}
	o.mu.Unlock()
	if room {
		o.Room()
	}
	if drained {
		o.Drained()
	}
	o.mu.Lock()
}

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
	if o.conn != nil && o.Line != nil {
		o.Line.members.Add(-1)
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
