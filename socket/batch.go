package socket

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// Batch is messages that arrived together, to be handled one after the other: see Pull.RecvBatch. The zero Batch is empty. It is for
// one goroutine at a time.
type Batch struct {
	r    *receiver
	p    *pipe
	rest arrival   // what Next has not returned
	slab link.Slab // for messages of several frames
	one  [1][]byte // for all others

	msgs, bytes, held int          // that the inbox is charged with for it
	lent              atomic.Int64 // what Next has returned of that: bytes, and lentMessage for each message
}

// RecvBatch is Recv for several messages: it fills b, of which what is left goes back first as with Return, with those of one peer that one read brought. Who handles
// one after the other is spared a lock and a look around for each. Those who receive beside get none of them, unless Return gives them back: where
// several handle messages Recv deals them out better. They count towards the high-water mark until b is filled again, or given back.
//
// It is not for sockets that acknowledge messages, know them again or keep the last one only: ErrOption.
func (s *Pull) RecvBatch(ctx context.Context, b *Batch) error {
	r := &s.receiver
	if r.c == nil || r.c.bad != nil {
		return &Error{Op: "recv", Err: r.c.usable()}
	}
	if cfg := &r.c.cfg; cfg.ack || cfg.conflate || r.once != nil {
		return &Error{Op: "recv", Err: fmt.Errorf("%w: no batches with WithAck, WithWindow or WithConflate: want Recv", ErrOption)}
	}
	if b.r != r || b.rest.batch.Msgs > 0 {
		b.Return()
	}
	many := b.msgs >= readAheadFrom
	for {
		r.mu.Lock()
		b.settleLocked()
		if r.takeLocked(b) {
			r.mu.Unlock()
			if b.msgs >= readAheadFrom {
				r.readAhead()
			}
			return nil
		}
		err := r.endLocked()
		r.mu.Unlock()
		if err != nil {
			return &Error{Op: "recv", Err: err}
		}
		ahead := many && ctx.Err() == nil && r.readAhead()
		if !ahead && r.direct(ctx) {
			continue
		}
		if err := r.block(ctx); err != nil {
			return &Error{Op: "recv", Err: &blocked{nil, err}}
		}
	}
}

// readAheadFrom is how many messages a batch has at least for the next to be read, by another goroutine, while these are handled: then neither waits for the
// other, and what it costs to wake that goroutine is little for each.
const readAheadFrom = 64

// readAhead has the pump of the sole peer read, and not callers of Recv, and reports whether it does: not while the inbox, with the batches that others have, stands at
// the high-water mark.
func (r *receiver) readAhead() bool {
	p := r.sole.Load()
	if p == nil || p.paused.Load() {
		return false
	}
	if p.wish.Load() {
		p.wish.Store(false)
		p.kick()
	}
	return true
}

// Next returns the next message, and false when none is left. The frames belong to the caller, as those of Recv do; the slice Frames itself is b's again when
// Next is called.
func (b *Batch) Next() (Msg, bool) {
	if b.rest.batch.Msgs == 0 {
		return Msg{}, false
	}
	if b.rest.batch.NextSole(&b.one[0]) {
		b.lent.Add(lentMessage + int64(len(b.one[0])))
		return Msg{Frames: b.one[:], from: b.rest.from}, true
	}
	frames, size := b.rest.batch.Next(&b.slab, 0)
	b.lent.Add(lentMessage + int64(size))
	return Msg{Frames: frames, from: b.rest.from}, true
}

// lentMessage is a message in Batch.lent, beside the bytes of all.
const lentMessage = 1 << 40

// lentLocked returns what Next has returned of batches that the inbox of p, or with nil any, is still charged with. r.mu is held.
func (r *receiver) lentLocked(p *pipe) (msgs, bytes int) {
	for _, b := range r.batches {
		if p == nil || b.p == p {
			lent := b.lent.Load()
			msgs, bytes = msgs+int(lent/lentMessage), bytes+int(lent%lentMessage)
		}
	}
	return msgs, bytes
}

// chargedLocked returns the bytes that an empty inbox of p is charged with, for batches. r.mu is held.
func (r *receiver) chargedLocked(p *pipe) (bytes int) {
	for _, b := range r.batches {
		if b.p == p {
			bytes += b.bytes
		}
	}
	return bytes
}

// Release gives the memory of all messages that Next has returned since b was filled back, as Msg.Release does for one: none of them, nor any of their frames, may be
// used afterwards. It does nothing while some are left, or when they were given back by Return.
func (b *Batch) Release() { b.rest.batch.Release() }

// Return gives the messages that are left back to the socket: they are the next that is received of their peer, even if the socket was closed. It
// does nothing if there are none.
func (b *Batch) Return() {
	r, p := b.r, b.p
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.rest.batch.Msgs > 0 {
		left, bytes := b.rest, b.rest.batch.Left()
		left.batch.Lease = nil // of what Next has returned, too
		b.msgs, b.bytes, b.held = b.msgs-left.batch.Msgs, b.bytes-bytes, b.held-left.batch.Held()
		left.held -= b.held
		p.inbox = slices.Insert(p.inbox, p.next, left)
		r.enterLocked(p)
		r.wait.wake()
	}
	b.settleLocked()
}

// takeLocked fills b with the batch of the peer whose turn it is.
func (r *receiver) takeLocked(b *Batch) bool {
	p := r.turn
	if p == nil {
		next, ok := r.fair.Next()
		if !ok {
			return false
		}
		p = next
	}
	b.r, b.p, b.rest = r, p, p.inbox[p.next]
	b.rest.batch.Unshare()
	b.msgs, b.bytes, b.held = b.rest.batch.Msgs, b.rest.batch.Left(), b.rest.held
	charged := p.inBytes
	r.used(p)
	p.inBytes, p.inHeld = charged, p.inHeld+b.held
	r.batches = append(r.batches, b)
	if r.wait.head != nil && (r.ready() || r.sole.Load() != nil) {
		r.wait.wake()
	}
	return true
}

// settleLocked takes what Next has returned off the accounts of the inbox. b.r.mu is held, if there is one.
func (b *Batch) settleLocked() {
	r, p := b.r, b.p
	if r == nil {
		return
	}
	p.inMsgs -= b.msgs
	p.inBytes -= b.bytes
	p.inHeld -= b.held
	r.msgs += uint64(b.msgs)
	r.bytes += uint64(b.bytes)
	r.batches = slices.DeleteFunc(r.batches, func(other *Batch) bool { return other == b })
	b.lent.Store(0)
	b.r, b.p, b.rest = nil, nil, arrival{}
	if p.paused.Load() && r.low(p) {
		p.paused.Store(false)
		p.kick()
	}
}

// enterLocked gives a peer with an inbox that is not empty its turns. r.mu is held.
func (r *receiver) enterLocked(p *pipe) {
	if p.seat == nil {
		p.seat = r.fair.Add(p)
	} else {
		r.fair.Enter(p.seat)
	}
}
