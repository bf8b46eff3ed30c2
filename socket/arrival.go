package socket

import (
	"math"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// arrival is a batch with its sender, who may be gone and followed by another on the same pipe.
type arrival struct {
	batch  link.Batch
	held   int
	source *source
	from   *origin // of all messages in batch, nil where each gets its own
	nth    uint32  // which of source the next is
	run    int     // and how many of its runs have begun
	until  uint32  // which of source the next run begins with, as far as is known
	again  bool    // the attempt of the run is not the first
}

// originLocked returns the origin of the next message of a, of size bytes, which is to be acknowledged. r.mu is held.
func (r *receiver) originLocked(a *arrival, size int) *origin {
	if s := a.source; !s.in.open && !s.late {
		a.source = s.afterwards()
	}
	if a.nth >= a.until {
		a.enter()
	}
	if a.again || a.source.late {
		r.acks.counts.RedeliveredIn++ // as attempt says
	}
	o := r.acks.origin(a, size)
	if r.leases != nil && r.once == nil { // else admit begins it
		r.leases.beginLocked(o)
	}
	return o
}

// origin makes the origin of the next message of an arrival.
func (a *acks) origin(of *arrival, size int) *origin {
	if a.used == len(a.slab) {
		a.slab, a.used = make([]origin, slabOrigins), 0
	}
	o := &a.slab[a.used]
	a.used++
	o.source, o.nth, o.size = of.source, of.nth, uint32(min(size, math.MaxUint32))
	of.nth++
	return o
}

// enter finds out which of the runs the next message is part of.
func (a *arrival) enter() {
	s := a.source
	for a.run < len(s.runs) && s.runs[a.run].tag <= s.tag+uint64(a.nth) {
		a.run++
	}
	a.until, a.again = math.MaxUint32, a.run > 0 && s.runs[a.run-1].attempt > 1
	if a.run < len(s.runs) {
		a.until = uint32(s.runs[a.run].tag - s.tag)
	}
}

// newest returns what origin has made last.
func (a *acks) newest() *origin { return &a.slab[a.used-1] }
