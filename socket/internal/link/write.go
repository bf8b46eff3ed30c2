package link

import "slices"

// Attach gives the queue a connection. Start, or Pump, must follow.
func (o *Out) Attach(c *Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake.L = &o.mu
	o.conn, o.err = c, nil
	if c.give != nil {
		c.give.OnWanted(&o.holds, o.want)
	}
	if o.Line != nil {
		o.Line.members.Add(1)
		o.Line.all().connections.Add(1)
	}
	o.ctrl, o.settling = append([]byte(nil), o.First...), 0
	o.landed, o.turn = 0, o.total
	o.pumping, o.stopping, o.last, o.asleep, o.called = true, false, false, false, 0
	o.spoke.Store(false)
}

// Start writes what is queued on a connection that is new, as far as it can without blocking. The pump is started when something is left, or later when it is needed: a connection that lives for one message,
// or is written by callers alone, has none.
func (o *Out) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pumping, o.asleep = false, true
	o.flushLocked()
	if o.pendingLocked() {
		o.wakeLocked()
	}
}

// Wake has the pump write what is queued.
func (o *Out) Wake() {
	o.mu.Lock()
	o.wakeLocked()
	o.mu.Unlock()
}

func (o *Out) wakeLocked() {
	if o.asleep && !o.stopping && (!o.waitsLocked() || o.joinLocked()) { // who stops could not use a place, and would keep it
		o.rouseLocked()
	}
}

// rouseLocked wakes the pump, or starts another if it has ended. Detach waits for either.
func (o *Out) rouseLocked() {
	o.asleep = false
	if o.pumping {
		o.callLocked()
		o.wake.Broadcast()
	} else if !o.stopping {
		o.callLocked()
		o.pumping = true
		go o.Pump()
	}
}

// Pump writes whatever is queued until Detach. One goroutine at a time runs it; where the line is long it may end earlier, and others follow it. An error of the
// connection ends the writing side, so that the reading side ends too, once all that had arrived is read.
func (o *Out) Pump() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.comeLocked()
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
				o.restLocked()
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
			if o.Line.Long() { // of many peers most are idle: it is started again when it is needed
				o.pumping = false
				return
			}
			o.wake.Wait()
			o.comeLocked()
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
		o.finishLocked(o.writeLocked(true))
	}
}

// writeLocked writes the flight, without block as far as that is possible at once. It gives up o.mu while it writes.
func (o *Out) writeLocked(block bool) (n int, err error) {
	if o.handsOverLocked() {
		return o.passLocked(block)
	}
	conn, vec := o.conn, o.vector()
	o.mu.Unlock()
	if block {
		n, err = o.writeAll(conn, vec)
	} else {
		n, err = conn.tryWrite(vec)
	}
	clear(vec) // large bodies are whose they were
	o.mu.Lock()
	return n, err
}

// writeAll writes the flight. The list of its parts is a field, since a local one would be allocated for each call.
func (o *Out) writeAll(c *Conn, vec [][]byte) (int, error) {
	if len(vec) == 1 {
		return c.Write(vec[0])
	}
	if c.joins() {
		return c.join(vec, c.Write)
	}
	o.rest = vec
	n, err := o.rest.WriteTo(c.Conn)
	return int(n), err
}

// Flush writes what is queued as far as it can without blocking, unless somebody writes already. The
// pump does the rest.
func (o *Out) Flush() {
	o.mu.Lock()
	switch o.loan {
	case loanTaken: // by the caller, or by somebody who then has less to do
		o.repayLocked()
	case loanUsed:
		o.owners++
		for o.loan == loanUsed {
			o.wake.Wait()
		}
		o.owners--
	default:
		o.flushLocked()
	}
	o.mu.Unlock()
}

// flushLocked is Flush. It gives up o.mu while it writes.
func (o *Out) flushLocked() {
	if o.writing || o.conn == nil || o.conn.try == nil || !o.takeLocked() {
		return
	}
	o.writing = true
	written, err := o.writeLocked(false)
	if wouldBlock(err) {
		err = nil
	}
	o.finishLocked(written, err)
	if o.pendingLocked() {
		o.wakeLocked()
	}
}

// Settle is Control for what tells the peer that messages of its are settled. It returns how many bytes of that wait to be written. Where nothing is queued it writes them itself, as far
// as it can without blocking: to wake the pump takes longer, and the peer may wait for it. It calls nothing back.
func (o *Out) Settle(frame []byte) (waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil {
		return o.settling
	}
	idle := !o.writing && !o.stopping && o.err == nil && o.conn.try != nil && len(o.flight)+len(o.ctrl)+len(o.segs) == 0
	o.ctrl = append(o.ctrl, frame...)
	o.settling += len(frame)
	if idle && o.takeLocked() {
		o.sent, _ = o.conn.try.TryWrite(o.flight[0].b) // what is wrong the pump finds out
		if o.sent == o.control {
			o.landLocked()
			return 0
		}
	}
	o.wakeLocked()
	return o.settling
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
		if i == len(o.segs)-1 || o.segs[i].whole && taken >= flightBytes {
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
