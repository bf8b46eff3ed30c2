package socket

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// Batch is messages that arrived together, to be handled one after the other: see Pull.RecvBatch. The zero Batch is empty. It is for
// one goroutine at a time, but that another may call Len and Return while one calls Next.
type Batch struct {
	r    *receiver
	p    *pipe
	came arrival
	left atomic.Int64 // how many of these Next has not returned; less than 0 once it has found none

	rest link.Batch // what Next has not returned, of what came; this and the following are its own
	from *origin
	slab link.Slab // for messages of several frames
	one  [1][]byte // for all others

	msgs, bytes, held int // that the inbox is charged with for it
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
	if b.r != r || b.Len() > 0 {
		b.Return()
	}
	for {
		r.mu.Lock()
		b.settleLocked()
		if r.takeLocked(b) {
			r.mu.Unlock()
			return nil
		}
		err := r.endLocked()
		r.mu.Unlock()
		if err != nil {
			return &Error{Op: "recv", Err: err}
		}
		r.c.line.FlushHot()
		if r.direct(ctx) {
			continue
		}
		if err := r.block(ctx); err != nil {
			return &Error{Op: "recv", Err: &blocked{nil, err}}
		}
	}
}

// Next returns the next message, and false when none is left. The frames belong to the caller, as those of Recv do; the slice Frames itself is b's again when
// Next is called.
func (b *Batch) Next() (Msg, bool) {
	if b.left.Add(-1) < 0 {
		return Msg{}, false
	}
	if b.rest.NextSole(&b.one[0]) {
		return Msg{Frames: b.one[:], from: b.from}, true
	}
	frames, _ := b.rest.Next(&b.slab, 0)
	return Msg{Frames: frames, from: b.from}, true
}

// Len returns how many messages Next has not returned.
func (b *Batch) Len() int { return int(max(b.left.Load(), 0)) }

// lentLocked returns what Next has returned of batches that the inbox of p, or with nil any, is still charged with. r.mu is held.
func (r *receiver) lentLocked(p *pipe) (msgs, bytes int) {
	for _, b := range r.batches {
		if p == nil || b.p == p {
			lent, all := b.msgs-b.Len(), b.came.batch
			msgs, bytes = msgs+lent, bytes+all.Skip(lent)
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
func (b *Batch) Release() { b.rest.Release() }

// Return gives the messages that are left back to the socket, and says how many: they are the next that is received of their peer, even if the socket was closed.
func (b *Batch) Return() (n int) {
	r, p := b.r, b.p
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n = b.take(); n > 0 {
		left := b.came
		b.bytes, b.msgs = left.batch.Skip(b.msgs-n), b.msgs-n
		b.held -= left.batch.Held()
		left.batch.Lease = nil // of what Next has returned, too
		left.held -= b.held
		p.inbox = slices.Insert(p.inbox, p.next, left)
		r.enterLocked(p)
		r.wait.wake()
	}
	b.settleLocked()
	return n
}

// take has Next find none any more, and returns how many it would have.
func (b *Batch) take() int {
	for {
		n := b.left.Load()
		if n <= 0 {
			return 0
		}
		if b.left.CompareAndSwap(n, 0) {
			return int(n)
		}
	}
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
	b.r, b.p, b.came = r, p, p.inbox[p.next]
	b.came.batch.Unshare()
	b.rest, b.from = b.came.batch, b.came.from
	b.slab.Turn(&b.rest)
	b.msgs, b.bytes, b.held = b.rest.Msgs, b.rest.Left(), b.came.held
	b.left.Store(int64(b.msgs))
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
	b.r, b.p, b.came = nil, nil, arrival{}
	if p.paused.Load() && r.low(p) {
		p.resume()
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
