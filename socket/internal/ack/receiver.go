package ack

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Receiver is what the receiving end of a connection knows: how many messages came, which of them are settled, and what of that the peer was told. The
// zero value grants nothing.
type Receiver struct {
	settled set
	got     uint64  // tag of the message that came last
	done    uint64  // settled tags
	told    uint64  // of those, how many the peer was told of
	floor   uint64  // that the peer was told last
	fresh   []Range // settled above the floor, and the peer was not told; as in set
	size    int     // bytes settled that the peer was not told of

	messages uint64 // granted
	bytes    uint64
	most     uint64 // the most messages that were ever granted: a smaller grant may not have arrived

	undue     uint64 // Next may settle the tags below, as far as it concerns their number; 0 where that is not known
	undueSize int    // and while size is below
}

// Grant sets the credit, which the caller tells the peer: how many messages, and bytes in them, may be unsettled.
func (r *Receiver) Grant(messages, bytes uint64) {
	r.messages, r.bytes, r.undue = messages, bytes, 0
	r.most = max(r.most, messages)
}

// Deliver takes note of the next n messages, 1 or more, and returns the tag of the first. It is ErrCredit when they are more than the peer could send:
// it may have all those out that it was not told to be settled. Bytes are not looked at, since a message may go beyond them.
func (r *Receiver) Deliver(n uint64) (first uint64, err error) {
	if out := r.got + n - r.told; out > r.most {
		return 0, fmt.Errorf("%w: %d out, at most %d may be", ErrCredit, out, r.most)
	}
	first = r.got + 1
	r.got += n
	return first, nil
}

// Next is Settle of the message above the floor, where that is news and nothing is due after it; else it does nothing and returns false. It may do so as well where it need not:
// Settle follows then.
func (r *Receiver) Next(tag uint64, size int) bool {
	if tag != r.settled.floor+1 || tag >= r.undue || r.size+size >= r.undueSize {
		return false
	}
	r.settled.floor = tag
	r.done++
	r.size += size
	return true
}

// Ahead returns how often Next would do so for the messages from this tag on, one after the other, and while they have fewer bytes than enough together.
func (r *Receiver) Ahead(tag uint64) (n uint64, enough int) {
	if tag != r.settled.floor+1 || tag >= r.undue {
		return 0, 0
	}
	return r.undue - tag, r.undueSize - r.size
}

// NextFew is Next of n messages of so many bytes together, no more than Ahead has said.
func (r *Receiver) NextFew(n uint64, size int) {
	r.settled.floor += n
	r.done += n
	r.size += size
}

// foresee finds out how far Next may go.
func (r *Receiver) foresee() {
	r.undue, r.undueSize = 0, int(min(r.bytes/2, math.MaxInt))
	if told, half := r.done-r.told, r.messages/2; len(r.settled.ranges) == 0 && told < half {
		r.undue = r.settled.floor + min(half-told, r.got-r.settled.floor+1)
	}
}

// Settle notes that a message of size bytes is handled, and whether that is news: it is not when it was settled before.
func (r *Receiver) Settle(tag uint64, size int) (fresh bool) {
	if tag > r.got || !r.settled.add(tag) {
		return false
	}
	r.done++
	r.size += size
	if tag > r.settled.floor {
		s := set{ranges: r.fresh}
		s.add(tag)
		r.fresh = s.ranges
	}
	r.foresee()
	return true
}

// Refuse notes that a message is settled by a NACK, which the caller sends at once, before it calls Append.
func (r *Receiver) Refuse(tag uint64) (fresh bool) {
	if tag > r.got || !r.settled.add(tag) {
		return false
	}
	r.done++
	r.told++
	r.undue = 0
	return true
}

// Settled reports whether a message is settled.
func (r *Receiver) Settled(tag uint64) bool { return r.settled.has(tag) }

// Open returns how many messages are not settled.
func (r *Receiver) Open() uint64 { return r.got - r.done }

// Got returns how many messages came.
func (r *Receiver) Got() uint64 { return r.got }

// Untold returns how many messages are settled that the peer does not know of.
func (r *Receiver) Untold() uint64 { return r.done - r.told }

// Roomy reports whether the peer has more than half of its credit left, as far as it knows.
func (r *Receiver) Roomy() bool { return r.got-r.told < r.messages/2 }

// Pending reports whether there is something to tell the peer.
func (r *Receiver) Pending() bool { return r.done > r.told }

// Due reports whether it is time to tell the peer: half of what was granted is settled and it does not know.
func (r *Receiver) Due() bool {
	n := r.done - r.told
	return n > 0 && (n >= r.messages/2 || uint64(r.size) >= r.bytes/2)
}

// maxSettling is the most octets that settle one message: a NACK with the longest reason.
const maxSettling = 288

// MaxUnread returns how many octets of ACKs and NACKs can wait to be read, at most, by a peer that keeps to its credit: it stops for want of more.
func (r *Receiver) MaxUnread() uint64 { return min(r.most, 1<<40) * maxSettling }

// Append appends the ACKs that tell the peer all it does not know, none if it knows everything.
func (r *Receiver) Append(dst []byte) []byte {
	if !r.Pending() {
		return dst
	}
	r.floor = r.settled.floor
	ranges := r.aboveFloor()
	for {
		n := min(len(ranges), zmtp.MaxAckRanges)
		dst = zmtp.AppendAck(dst, r.floor, ranges[:n])
		if ranges = ranges[n:]; len(ranges) == 0 {
			break
		}
	}
	r.told, r.size, r.fresh = r.done, 0, r.fresh[:0]
	r.undue = 0
	return dst
}

// aboveFloor returns what of fresh lies above the floor, apart from it.
func (r *Receiver) aboveFloor() []Range {
	i := slices.IndexFunc(r.fresh, func(f Range) bool { return f.Last > r.floor })
	if i < 0 {
		return nil
	}
	return r.fresh[i:] // none straddles the floor: what is settled right above it would be part of it
}
