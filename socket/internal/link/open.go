package link

import "math"

// Open says whether AppendOpen may queue from now on.
func (o *Out) Open(open bool) {
	o.mu.Lock()
	o.open = open
	o.mu.Unlock()
}

// AppendOpen is Append for callers that do not know whether they still may: it refuses while Open does not say so, and, as a try, when the queue
// is full. Of flush and large bodies it is AppendLent. It never drops messages in the place of this one. Those behind it may be added by AppendRow, as far as no frame is larger than the peer takes, 0 for any size.
func (o *Out) AppendOpen(frames [][]byte, size, takes int) (ok, flush bool) {
	o.mu.Lock()
	if !o.open || o.fullLocked(size) {
		o.mu.Unlock()
		return false, false
	}
	if size >= lentBody && o.lendLocked(nil, frames, size) {
		o.mu.Unlock()
		return true, true
	}
	if s := o.shortLocked(size); s != nil && len(frames) == 1 {
		s.b = append(append(s.b, 0, byte(size)), frames[0]...)
	} else {
		for i, f := range frames {
			o.appendFrame(f, i < len(frames)-1, i > 0)
		}
	}
	if flush = o.queuedLocked(size); !flush {
		o.beginRowLocked(size, takes)
	}
	o.mu.Unlock()
	return true, flush
}

// shortLocked returns the open segment if it has room for a frame of one short message. o.mu must be held.
func (o *Out) shortLocked(size int) *segment {
	if k := len(o.segs); k > 0 && size < 256 && cap(o.segs[k-1].b)-len(o.segs[k-1].b) >= size+2 {
		return &o.segs[k-1]
	}
	return nil
}

// Vacant returns for how many messages, and for how many bytes of their bodies, there is room if nothing else is queued. There is none if one of size
// bytes would be refused; then Room will be called.
func (o *Out) Vacant(size int) (msgs, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Shed == nil && o.fullLocked(size) {
		o.refuseLocked()
		return 0, 0
	}
	if o.Shed != nil || o.kept != nil {
		return 1, size
	}
	msgs, bytes = math.MaxInt, math.MaxInt
	if o.HWM > 0 {
		msgs = o.HWM - o.msgs
	}
	if o.HWMBytes > 0 {
		bytes = max(o.HWMBytes-o.bytes, size) // the only message may be larger
	}
	return msgs, bytes
}

// DeliverOpen is AppendOpen on an acknowledged link: Deliver of a message that has the number behind the last one's, for the first time. Those behind it may be added by
// AppendRow, as far as no frame is larger than the peer takes, 0 for any size.
func (o *Out) DeliverOpen(frames [][]byte, size, takes int) (ok, flush bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open || o.kept == nil || o.fullLocked(size) {
		return false, false
	}
	ok, flush = o.deliverLocked(frames, size, Delivery{Number: o.kept.last + 1, Attempt: 1})
	if ok && !flush {
		o.beginRowLocked(size, takes)
	}
	return ok, flush
}

// expected reports whether the peer takes the next message for what it is.
func (k *kept) expected(d *Delivery) bool {
	return k.told.Number == d.Number && k.told.Attempt == uint32(d.Attempt) && k.told.Incarnation == d.Incarnation
}

// Recall is Open(false) on an acknowledged link. It returns the number of the last message.
func (o *Out) Recall() (last uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = false
	return o.kept.last
}
