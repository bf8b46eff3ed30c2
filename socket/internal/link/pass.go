package link

import (
	"sync/atomic"

	"github.com/meshmq/meshmq/transport"
)

// giving hands large bodies and full chunks to a peer within the process, without a copy.
type giving interface {
	// WriteParts writes parts in order, those that are given away whole or not at all. Without block it stops where it would wait, with
	// transport.ErrWouldBlock if nothing was written. It returns how many bytes were.
	WriteParts(parts []transport.Part, block bool) (int, error)
	// ReadBody returns the next n bytes if they were given away as such, or what was given away next if n is zero; nil when there is something else to be read.
	ReadBody(n int, block bool) ([]byte, error)
	// OnWanted has f called when the peer finds nothing to read while holds is set, which clears it.
	OnWanted(holds *atomic.Bool, f func())
}

const (
	// passedAlone is the size above which a peer within the process is handed the body of the only message in the queue, in memory of its own, which takes some allocations.
	passedAlone = 16 << 10
	// passedAmong is the same for messages behind others. Up to there it costs less to hand over a chunk full of them.
	passedAmong = 20 << 10
)

// passesLocked reports whether a body of n bytes is to be handed to a peer within the process, in memory of its own.
func (o *Out) passesLocked(n int) bool {
	return n > passedAlone && o.conn != nil && o.conn.give != nil && (n > passedAmong || o.msgs == 0)
}

// handsOverLocked reports whether the flight has something to be given away.
func (o *Out) handsOverLocked() bool {
	if o.conn.give == nil {
		return false
	}
	for i := range o.flight {
		if o.givesLocked(&o.flight[i]) {
			return true
		}
	}
	return false
}

// givesLocked reports whether a segment is given away instead of written. A chunk is not where its messages are kept.
func (o *Out) givesLocked(s *segment) bool { return s.given() && (s.own || o.kept == nil) }

// passLocked writes the flight to a peer within the process, which keeps what it is given. It gives up o.mu while it writes.
func (o *Out) passLocked(block bool) (n int, err error) {
	conn, flight, skip := o.conn, o.flight, o.sent
	for len(flight) > 0 && skip >= len(flight[0].b) {
		skip -= len(flight[0].b)
		flight = flight[1:]
	}
	parts := o.parts[:0]
	for i := range flight {
		s := &flight[i]
		parts = append(parts, transport.Part{Bytes: s.b[skip:], Given: skip == 0 && o.givesLocked(s)})
		skip = 0
	}
	o.parts = parts
	o.mu.Unlock()
	n, err = conn.give.WriteParts(parts, block)
	left := n
	for i, p := range parts {
		if left -= len(p.Bytes); left < 0 {
			break
		}
		if p.Given {
			flight[i].copied, flight[i].pooled = nil, nil
		}
	}
	clear(parts)
	o.mu.Lock()
	return n, err
}
