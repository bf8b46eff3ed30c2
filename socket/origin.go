package socket

import (
	"slices"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// origin is where a message came from. Messages that came together share one, but where they are acknowledged: there each has its own, cut from a slab.
type origin struct {
	*source
	nth  uint32 // where they are acknowledged: which message of source it is, from 0
	size uint32 // and how large its frames are, as far as it fits
}

// source is what messages have in common that came together.
type source struct {
	peer  *Peer
	lease *link.Lease // of their memory, nil where it is not used again

	// The fields below are for messages that are acknowledged; see delivery.go.
	in      *inbound  // nil where they are not
	tag     uint64    // of the first
	runs    []run     // that they are part of, in order, and of those to come; nil where the sender named no stream
	flights []*flight // of each, nil where there is no window
	terms   []term    // of the leases of each, nil without WithLease
	late    bool      // they were taken after their connection had ended
}

// tag returns the tag of a message that is to be acknowledged.
func (o *origin) tag() uint64 { return o.source.tag + uint64(o.nth) }

// flight returns the message's flight, nil if it has none. receiver.mu is held, or the message is nobody else's yet.
func (o *origin) flight() *flight {
	if o.flights == nil {
		return nil
	}
	return o.flights[o.nth]
}

// run returns the run that the message is part of.
func (o *origin) run() (of run, some bool) {
	tag := o.tag()
	i, _ := slices.BinarySearchFunc(o.runs, tag, func(r run, tag uint64) int {
		if r.tag <= tag {
			return -1
		}
		return 1
	})
	if i == 0 {
		return run{}, false
	}
	return o.runs[i-1], true
}

// attempt returns which attempt at delivering the message this was, as far as it can be known.
func (o *origin) attempt() int {
	n := 1
	if of, some := o.run(); some {
		n = int(of.attempt)
	}
	if o.late {
		n++
	}
	return n
}

// afterwards returns the source of what is taken when the connection has ended: its sender may have sent it elsewhere since, and what was sent may have been received.
func (s *source) afterwards() *source {
	late := *s
	late.late = true
	return &late
}

// clone returns an origin that shares no memory with those of other messages, and has no lease.
func (o *origin) clone() *origin {
	s := &source{peer: o.peer, in: o.in, late: o.late}
	if o.in != nil {
		s.tag = o.tag()
		if of, some := o.run(); some {
			s.runs = []run{of}
		}
		if f := o.flight(); f != nil {
			s.flights = []*flight{f}
		}
		if o.terms != nil {
			s.terms = o.terms[o.nth : o.nth+1] // the same, whichever copy is settled
		}
	}
	return &origin{source: s, size: o.size}
}
