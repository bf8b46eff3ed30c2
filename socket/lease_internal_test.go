package socket

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What leases remember is bounded by what is open: not by how many messages are settled behind one that is not, nor by how often it is extended. Their time is that of
// the monotonic clock, whatever the other one is set to.
func TestLease_Memory(t *testing.T) {
	t.Parallel()
	const open, settled = 10, 10_000
	p := NewPull(WithAck(), WithLease(time.Hour))
	r := &p.receiver
	in := &inbound{r: r, open: true}
	in.state.Grant(settled, settled)
	s := &source{in: in, tag: 1, terms: r.leases.terms(settled)}
	r.mu.Lock()
	for i := range uint32(settled) {
		o := &origin{source: s, nth: i}
		_, err := in.state.Deliver(1)
		assert.NoError(t, err)
		r.leases.beginLocked(o)
		if i >= open {
			in.state.Settle(o.tag(), 0)
			r.leases.beginLocked(&origin{source: s}) // the first is extended
		}
	}
	assert.LessOrEqual(t, cap(r.leases.queue), 4*open)
	assert.Contains(t, r.leases.epoch.String(), "m=", "the monotonic clock")
	r.mu.Unlock()
	assert.NoError(t, p.Close())
}
