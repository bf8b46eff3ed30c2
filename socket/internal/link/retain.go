package link

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// On an acknowledged link (transport/zmtp/ACK.md) every message has a tag: its count on the connection, from 1. Messages stay, as they went out,
// until their tags are settled:
//
//	tags         1 ... floor | floor+1 ........... landed | ....... next-1 | next
//	             all settled | in ring, some are settled  | being written  |
//	                         | and written                | or queued      |
//
// The bytes are in blocks, one behind the other, and the write queue is made of slices of them. The part of a message that is
// copied (all but large bodies) lies in one block, and is found by the group that it is in.

// ErrTag is for a peer that settles what it was never sent.
var ErrTag = errors.New("acknowledgement of a message that was never sent")

// Delivery is what an acknowledged link knows of a message besides its frames.
type Delivery struct {
	Number      uint64 // of the message, from 1: what Settled and Returned say
	As          uint64 // its place in the sender's stream, 0 if that is Number
	Incarnation uint32 // of the sender when it got that number
	Attempt     int    // which delivery it is, from 1
	Failed      int    // how many of those before have failed
	Again       bool   // it was queued before, and counts no second time in Totals
	Alone       bool   // it goes to a peer that has nothing else, and gets nothing else until it is settled
}

// Returned is a message that comes back from an acknowledged link.
type Returned struct {
	Delivery
	Frames [][]byte // the receiver's
	Size   int      // of their bodies
	Begun  bool     // some of it was written
	Cut    bool     // some, and not all
	Lost   bool     // it was written, and the peer ended without a word about it: its last credit was not (0, 0), as that of who leaves in order is
	Sole   bool     // the peer had nothing else
}

// Retention says how a connection is acknowledged.
type Retention struct {
	// Plain is for a peer that acknowledges nothing: messages are settled once they are written, and it is told nothing about them.
	Plain bool
	// Greeting is how many messages Out.First has: they have tags and take credit.
	Greeting int
	// Stream is the id of the sender's stream.
	Stream [zmtp.StreamIDSize]byte
	// Acked, if set, counts the messages that the peer acknowledged, before Settled hears of them.
	Acked *atomic.Uint64
	// Settled, if set, is told the numbers of the messages that were acknowledged or written to a plain peer, ends included, with no lock held.
	Settled func(lo, hi uint64)
	// Progress, if set, is told with no lock held how many messages were settled by being written.
	Progress func(msgs int)
}

// kept is what an acknowledged link has not settled. Out.mu guards it.
type kept struct {
	Retention
	ring    []group // those from first to behind, at their place modulo its length, a power of two
	first   uint64  // place of the group that tag floor+1 is in, if there is one
	behind  uint64  // place of the next group
	floor   uint64
	next    uint64
	window  uint64      // next is no further from floor
	landed  uint64      // the last tag that is written
	greeted int         // messages of the greeting that are not settled
	credit  uint64      // most messages that may be unsettled
	creditB uint64      // and bytes, which one message may exceed
	told    zmtp.Stream // what the peer takes the next message for
	msgs    int         // not settled
	bytes   int
	bodies  []largeBodyOf // of messages in ring, by their tags; what lies before gone is settled
	gone    int
	open    *block          // the block to be continued, nil for none
	small   []byte          // memory of a small block
	blocks  []*block        // by their ids, less one
	free    []*block        // of them
	scratch []byte          // of an announcement
	runs    []zmtp.TagRange // numbers settled that Settled has not been told
	written int             // messages settled by being written that Progress has not been told
	settled bool            // something was, since the last report
	ended   bool            // the connection has: nothing more is taken
	begun   uint64          // once the connection has ended: the last tag of which some was written
	cut     uint64          // and that of which some was, and not all, 0 for none
	last    uint64          // number of the last message
	mixed   bool            // a number was lower than the one before it, and something has been unsettled since
	alone   bool            // the last message is to be alone with the peer
}

// largeBodyOf is a body that is not in its message's block.
type largeBodyOf struct {
	tag uint64
	blk *block
}

// block is memory that messages and segments are cut from. It is given back when none of them needs it.
type block struct {
	k      *kept
	id     uint32
	b      []byte           // the part in use
	pooled *[chunkSize]byte // what b is, where it came from chunks
	body   *[]byte          // what b is, where it came from bodies
	small  bool             // b is kept.small
	refs   int              // messages not settled, segments not written, and one while it is open
}

// Retain makes the connection that Attach will bring an acknowledged one: Deliver takes messages instead of Append, and they stay until they
// are settled by Ack, Nack, Return or, on a plain one, by being written. The high-water marks count all of them.
func (o *Out) Retain(r Retention) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := &kept{Retention: r, window: maxWindow}
	k.floor = uint64(r.Greeting)
	k.landed, k.next, k.greeted = k.floor, k.floor+1, r.Greeting
	o.kept = k
}

// Outstanding returns what is queued and what is written but not settled.
func (o *Out) Outstanding() (msgs, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept != nil {
		return o.kept.msgs, o.kept.bytes
	}
	return o.msgs, o.bytes
}

// Oldest returns the lowest number that is not settled, and whether there is one. It is quick while numbers only went up.
func (o *Out) Oldest() (number uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		return 0, false
	}
	for place := o.kept.first; place < o.kept.behind; place++ {
		g := o.kept.at(place)
		if g.open == 0 {
			continue
		}
		if lowest := g.number + uint64(bits.TrailingZeros64(g.open)); !ok || lowest < number {
			number, ok = lowest, true
		}
		if !o.kept.mixed {
			break
		}
	}
	return number, ok
}

// Grant sets how many messages may be unsettled, and how many bytes, which one message may exceed: the level of a CREDIT. It is none before.
func (o *Out) Grant(messages, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept != nil {
		o.kept.credit, o.kept.creditB = messages, bytes
		o.reportLocked()
	}
}

// Ack settles the tags of an ACK. acked is how many messages that settled, stale how many tags of its ranges were settled before. The error is ErrTag if
// one of them was never sent; nothing changes then.
func (o *Out) Ack(a zmtp.Ack) (acked, stale int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kept
	if k == nil {
		return 0, 0, nil
	}
	last, ranges := a.Floor, a
	for r, ok := ranges.Next(); ok; r, ok = ranges.Next() {
		last = r.Last
	}
	if sent := o.sentLocked(); last > sent {
		return 0, 0, fmt.Errorf("%w: ACK up to tag %d, sent %d", ErrTag, last, sent)
	}
	before := k.msgs
	if a.Floor >= uint64(k.Greeting) && k.greeted > 0 {
		k.greeted, k.settled = 0, true
	}
	k.settleTo(a.Floor)
	for r, ok := a.Next(); ok; r, ok = a.Next() {
		stale += int(min(r.Last, k.floor) - min(r.First-1, k.floor))
		if r.Last > k.floor {
			stale += k.settleRange(max(r.First, k.floor+1), r.Last)
		}
	}
	k.advance()
	if acked = before - k.msgs; k.Acked != nil {
		k.Acked.Add(uint64(acked))
	}
	o.reportLocked()
	return acked, stale, nil
}

// Sent returns the last tag that the peer may know of.
func (o *Out) Sent() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		return 0
	}
	return o.sentLocked()
}

// sentLocked returns the last tag that the peer may know of.
func (o *Out) sentLocked() uint64 {
	sent := o.kept.landed
	for i := range o.flight {
		sent += uint64(o.flight[i].msgs)
	}
	return sent
}

// Nack takes a message out that the peer does not want, as a copy. ok is false if the tag was settled before; the error is ErrTag if it was
// never sent. What it makes room for is owed until Report.
func (o *Out) Nack(tag uint64) (r Returned, ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kept
	if k == nil {
		return r, false, nil
	}
	if sent := o.sentLocked(); tag == 0 || tag > sent {
		return r, false, fmt.Errorf("%w: NACK of tag %d, sent %d", ErrTag, tag, sent)
	}
	m, ok := k.message(tag)
	if !ok {
		return r, false, nil
	}
	r = k.returned(m)
	r.Begun, r.Again = true, true
	r.copyFrames()
	k.release(m.place, m.bit())
	k.advance()
	return r, true, nil
}

// Report calls Room and Drained where they are owed.
func (o *Out) Report() {
	o.mu.Lock()
	o.reportLocked()
	o.mu.Unlock()
}

// copyFrames has the message share no memory with the link.
func (r *Returned) copyFrames() {
	all := make([]byte, 0, r.Size)
	for i, f := range r.Frames {
		all = append(all, f...)
		r.Frames[i] = all[len(all)-len(f) : len(all) : len(all)]
	}
}

// Return takes out what is not settled, in the order of tags, and ends the retention. There is no connection any more: see Detach.
func (o *Out) Return() (all []Returned) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kept
	if k == nil {
		return nil
	}
	left := k.credit == 0 && k.creditB == 0 // in order: one of the two alone is no more than a pause
	begun, last := 0, 0
	all = make([]Returned, 0, k.msgs)
	for m := range k.unsettled {
		r := k.returned(m)
		r.Again = true
		r.Begun = m.tag <= k.landed || m.tag <= k.begun
		r.Cut = m.tag == k.cut
		r.Lost = r.Begun && !r.Cut && !left
		if r.Begun {
			begun, last = begun+1, len(all)
		}
		all = append(all, r)
	}
	if begun == 1 {
		all[last].Sole = true
	}
	o.kept = nil // and with it the blocks, which the frames are cut from
	return all
}
