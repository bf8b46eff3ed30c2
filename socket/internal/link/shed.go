package link

// Limit sets HWM, HWMBytes and Shed of a queue that may be in use.
func (o *Out) Limit(hwm, hwmBytes int, shed func(msgs int)) {
	o.mu.Lock()
	o.HWM, o.HWMBytes, o.Shed, o.conflates = hwm, hwmBytes, shed, false
	o.mu.Unlock()
}

// Conflate is Limit for a queue that keeps the last message only, whatever SetHWM says.
func (o *Out) Conflate(shed func(msgs int)) {
	o.mu.Lock()
	o.HWM, o.HWMBytes, o.Shed, o.conflates = 1, 0, shed, true
	o.mu.Unlock()
}

// SetHWM changes the high-water mark in messages of a queue in use. What is queued beyond it stays. owed says that somebody waits for room, and is to look
// again: the caller calls Room, with no lock held.
func (o *Out) SetHWM(messages int) (owed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.conflates {
		o.HWM = messages
	}
	owed, o.refused = o.refused, false
	return owed
}

// shedLocked drops the oldest messages that wait, where Shed says so, until one of size bytes has its place behind the rest. What is
// being written stays and is not counted: the writer may have it for as long as the peer does not read.
func (o *Out) shedLocked(size int) (shed int, ok bool) {
	if o.Shed == nil {
		return 0, false
	}
	msgs, bytes := o.msgs, o.bytes
	for i := range o.flight {
		msgs -= o.flight[i].msgs
		bytes -= o.flight[i].size
	}
	messages(o.segs, func(m queued) bool {
		if (o.HWM == 0 || msgs < o.HWM) && (o.HWMBytes == 0 || bytes+size <= o.HWMBytes) {
			o.segs = cut(o.segs, m.begin)
			return false
		}
		msgs--
		bytes -= m.size
		o.msgs--
		o.bytes -= m.size
		shed++
		return true
	})
	if msgs == 0 {
		for i := range o.segs {
			o.releaseLocked(&o.segs[i])
		}
		o.segs = o.segs[:0]
	}
	return shed, true
}
