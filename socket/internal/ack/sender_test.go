package ack

import (
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// ErrTag: something was said about a message that was never sent.
var ErrTag = fmt.Errorf("%w: a tag that was never sent", ErrViolation)

// Sender is a model of the sending end of a connection: which tags it has given out, and which of them are settled. The real one is in internal/link.
type Sender struct {
	settled set
	last    uint64 // tag given out last
	open    uint64 // tags not settled
}

// Send gives the next n messages, 1 or more, their tags, and returns the first of them.
func (s *Sender) Send(n uint64) (first uint64) {
	first = s.last + 1
	s.last += n
	s.open += n
	return first
}

// Sent returns the last tag that was given out.
func (s *Sender) Sent() uint64 { return s.last }

// Floor returns the tag up to which all are settled.
func (s *Sender) Floor() uint64 { return s.settled.floor }

// Open returns how many tags are not settled.
func (s *Sender) Open() uint64 { return s.open }

// Settled reports whether a tag is settled.
func (s *Sender) Settled(tag uint64) bool { return s.settled.has(tag) }

// Ack applies an ACK. It calls release for each run of tags that it settles, the lowest first. stale is how many tags were settled before, though the
// ACK's ranges name them; that its floor lies below ours, or stays, is in order. With ErrTag nothing was applied.
func (s *Sender) Ack(a zmtp.Ack, release func(Range)) (stale uint64, err error) {
	last, ranges := a.Floor, a
	for r, ok := ranges.Next(); ok; r, ok = ranges.Next() {
		last = r.Last
	}
	if last > s.last {
		return 0, fmt.Errorf("%w: ACK up to %d, sent %d", ErrTag, last, s.last)
	}
	fresh := func(r Range) {
		s.open -= r.Last - r.First + 1
		release(r)
	}
	if a.Floor > s.settled.floor {
		s.settled.addRange(Range{First: s.settled.floor + 1, Last: a.Floor}, fresh)
	}
	for r, ok := a.Next(); ok; r, ok = a.Next() {
		stale += s.settled.addRange(r, fresh)
	}
	return stale, nil
}

// Nack settles the tag of a NACK. fresh is false when it was settled before: the NACK is stale then, and means nothing.
func (s *Sender) Nack(tag uint64) (fresh bool, err error) {
	if tag == 0 || tag > s.last {
		return false, fmt.Errorf("%w: NACK of %d, sent %d", ErrTag, tag, s.last)
	}
	fresh = s.settled.add(tag)
	if fresh {
		s.open--
	}
	return fresh, nil
}

// Unsettled calls yield for each run of tags that are not settled, the lowest first.
func (s *Sender) Unsettled(yield func(Range) bool) {
	next := s.settled.floor + 1
	for _, r := range s.settled.ranges {
		if !yield(Range{First: next, Last: r.First - 1}) {
			return
		}
		next = r.Last + 1
	}
	if next <= s.last {
		yield(Range{First: next, Last: s.last})
	}
}

// addRange puts a range into the set and calls fresh for each run of it that was not there, in order. It returns how many tags were.
func (s *set) addRange(r Range, fresh func(Range)) (known uint64) {
	next, total, added := max(r.First, s.floor+1), r.Last-r.First+1, uint64(0)
	i := s.from(next)
	first := i
	for ; next <= r.Last; i++ {
		end := r.Last
		if i < len(s.ranges) && s.ranges[i].First <= r.Last {
			end = s.ranges[i].First - 1
		}
		if next <= end {
			added += end - next + 1
			fresh(Range{First: next, Last: end})
		}
		if i == len(s.ranges) || s.ranges[i].First > r.Last {
			break
		}
		next = s.ranges[i].Last + 1
	}
	if added > 0 {
		s.merge(Range{First: max(r.First, s.floor+1), Last: r.Last}, first)
	}
	return total - added
}

// merge puts r, which is above the floor, in the place of the ranges from i on that it covers or touches.
func (s *set) merge(r Range, i int) {
	if i > 0 && s.ranges[i-1].Last+1 == r.First {
		i--
	}
	end := i
	for ; end < len(s.ranges) && s.ranges[end].First <= r.Last+1; end++ {
		r.First, r.Last = min(r.First, s.ranges[end].First), max(r.Last, s.ranges[end].Last)
	}
	if r.First == s.floor+1 {
		s.floor = r.Last
		s.ranges = slices.Delete(s.ranges, 0, end)
		return
	}
	s.ranges = slices.Replace(s.ranges, i, end, r)
}
