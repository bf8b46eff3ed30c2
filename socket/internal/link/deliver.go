package link

import (
	"cmp"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Deliver is Append on an acknowledged link: it queues a message that stays until it is settled. ok is false when there is no room, that is no
// credit or as much outstanding as the high-water marks allow, or no connection; Room will be called.
func (o *Out) Deliver(frames [][]byte, size int, d Delivery) (ok, flush bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.deliverLocked(frames, size, d)
}

func (o *Out) deliverLocked(frames [][]byte, size int, d Delivery) (ok, flush bool) {
	b, start := o.beginLocked(frames, size, d)
	if b == nil {
		return false, false
	}
	for i, f := range frames {
		if n := len(f); n < 256 {
			b.b = append(append(b.b, more(i, frames), byte(n)), f...)
			continue
		}
		b.b = zmtp.AppendHeader(b.b, more(i, frames), len(f))
		if len(f) <= largeBody {
			b.b = append(b.b, f...)
			continue
		}
		body := o.kept.newBlock()
		body.b, body.body = newBody(len(f))
		body.b = append(body.b, f...)
		start = o.extendBy(b, start, body)
	}
	o.extend(b, start)
	return true, o.queuedLocked(size)
}

// DeliverGiven is Deliver for frames that the caller gives away: large bodies are not copied. It is apart from Deliver because what
// that is passed must not escape to the heap.
func (o *Out) DeliverGiven(frames [][]byte, size int, d Delivery) (ok, flush bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, start := o.beginLocked(frames, size, d)
	if b == nil {
		return false, false
	}
	for i, f := range frames {
		b.b = zmtp.AppendHeader(b.b, more(i, frames), len(f))
		if len(f) <= largeBody {
			b.b = append(b.b, f...)
			continue
		}
		body := o.kept.newBlock()
		body.b = f[:len(f):len(f)]
		start = o.extendBy(b, start, body)
	}
	o.extend(b, start)
	return true, o.queuedLocked(size)
}

// more returns the flags of a frame of a message.
func more(i int, frames [][]byte) byte {
	if i < len(frames)-1 {
		return zmtp.FlagMore
	}
	return 0
}

// beginLocked enters a message, and returns the block that it goes to, nil where there is no room, and the end of the message before it.
func (o *Out) beginLocked(frames [][]byte, size int, d Delivery) (b *block, start int) {
	k := o.kept
	if k == nil || o.fullLocked(size) || d.Alone && k.msgs > 0 {
		o.refuseLocked()
		return nil, 0
	}
	b = k.block(smallPart(frames) + k.announce(d))
	start = len(b.b)
	b.b = append(b.b, k.scratch...)
	k.add(&d, len(frames), size, b)
	if d.Again {
		o.total--
		o.totalB -= uint64(size)
	}
	return b, start
}

// smallPart returns how much of a message is copied into one block, at most.
func smallPart(frames [][]byte) (need int) {
	for _, f := range frames {
		need += zmtp.MaxHeaderSize
		if len(f) <= largeBody {
			need += len(f)
		}
	}
	return need
}

// announce makes the command that goes before a message which is not what the peer takes it for, and returns its size. It is in
// k.scratch, which is empty where none is needed.
func (k *kept) announce(d Delivery) int {
	k.scratch = k.scratch[:0]
	if k.Plain {
		return 0
	}
	told := &k.told
	number, attempt := cmp.Or(d.As, d.Number), uint32(d.Attempt)
	switch {
	case told.Number == 0 || told.Incarnation != d.Incarnation:
		k.told = zmtp.Stream{Named: true, ID: k.Stream, Incarnation: d.Incarnation, Number: number, Attempt: attempt}
		k.scratch = zmtp.AppendStream(k.scratch, told)
	case told.Attempt != attempt || number < told.Number:
		told.Named, told.Number, told.Attempt = false, number, attempt
		k.scratch = zmtp.AppendStream(k.scratch, told)
	case told.Number != number:
		k.scratch = zmtp.AppendSkip(k.scratch, number-told.Number)
	}
	told.Number = number + 1
	return len(k.scratch)
}

// extend has the queue end with all of b from start on. Nothing of a message stands behind what was there, so far.
func (o *Out) extend(b *block, start int) {
	if start == len(b.b) {
		return
	}
	if n := len(o.segs); n > 0 {
		s := &o.segs[n-1]
		s.whole = false
		if s.blk == b {
			s.b = s.b[:len(s.b)+len(b.b)-start]
			return
		}
	}
	b.refs++
	o.segs = append(o.segs, segment{b: b.b[start:], blk: b, at: start})
}

// extendBy is extend with a large body of the last message behind it, and returns where b goes on.
func (o *Out) extendBy(b *block, start int, body *block) int {
	o.extend(b, start)
	k := o.kept
	k.bodies = append(k.bodies, largeBodyOf{k.next - 1, body})
	body.refs++
	o.segs = append(o.segs, segment{b: body.b, blk: body})
	return len(b.b)
}

// reportKeptLocked calls what is owed on an acknowledged link. o.mu is given up meanwhile.
func (o *Out) reportKeptLocked() {
	k := o.kept
	// No low-water mark: acknowledgements come in batches, and what is never settled must not count for more than it is.
	room := o.refused && !k.full(o.HWM, o.HWMBytes, 1)
	drained := o.watched && k.settled
	runs, written := k.runs, k.written
	k.settled = false
	if !room && !drained && len(runs) == 0 && written == 0 {
		return
	}
	k.runs, k.written = nil, 0
	if room {
		o.refused = false
	}
	o.mu.Unlock()
	for _, r := range runs {
		k.Settled(r.First, r.Last)
	}
	if written > 0 && k.Progress != nil {
		k.Progress(written)
	}
	if room {
		o.Room()
	}
	if drained {
		o.Drained()
	}
	o.mu.Lock()
	if k.runs == nil {
		k.runs = runs[:0]
	}
}

// endKeptLocked gives up the write queue when the connection has ended, and notes how far it got.
func (o *Out) endKeptLocked() {
	o.progressLocked()
	o.kept.ended = true
	for _, segs := range [][]segment{o.flight, o.segs} {
		for i := range segs {
			segs[i].recycle()
		}
	}
	o.flight, o.segs = nil, nil
	o.sent, o.control, o.msgs, o.bytes = 0, 0, 0, 0
	o.reportLocked()
}

// progressLocked finds out which messages of the flight were written, and which was written in part.
func (o *Out) progressLocked() {
	k := o.kept
	offset := o.control // of the segment at i, in the flight
	i := 0
	if o.control > 0 {
		i = 1
	}
	for m := range k.unsettled {
		if m.tag <= k.landed {
			continue
		}
		if i == len(o.flight) {
			return
		}
		pos := len(k.blocks[m.blk-1].b) - len(m.rest)
		s := &o.flight[i]
		for s.blk == nil || s.blk.id != m.blk || pos < s.at || pos >= s.at+len(s.b) {
			offset += len(s.b)
			if i++; i == len(o.flight) {
				return
			}
			s = &o.flight[i]
		}
		begin := offset + pos - s.at
		if begin >= o.sent {
			return
		}
		k.begun = m.tag
		_, wire, _ := extent(m.rest)
		switch {
		case begin+wire > o.sent:
			k.cut = m.tag
		case k.Plain: // RFC 37, "Socket Semantics": no message is delivered more than once
			k.settle(m.place, m.bit())
			k.written++
		}
	}
}
