package socket

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
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

// What is said when a lease is over is too late, also where nobody has noticed yet since the timer itself is late.
func TestLease_TimerThatIsLate(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(Msg) error{"ack": Msg.Ack, "nack": func(m Msg) error { return m.Nack(Nack{}) }, "extend": Msg.Extend} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := NewPull(WithAck(), WithLease(time.Hour))
				r := &p.receiver
				in := &inbound{r: r, p: &pipe{}, peer: &Peer{}, open: true}
				in.state.Grant(2, 2)
				_, err := in.state.Deliver(2)
				require.NoError(t, err)
				s := &source{in: in, peer: in.peer, tag: 1, terms: r.leases.terms(2)}
				for i := range uint32(2) {
					r.leases.begin(&origin{source: s, nth: i})
				}
				require.NoError(t, Msg{from: &origin{source: s}}.Ack())
				r.leases.timer.Stop()
				<-time.After(time.Hour)
				assert.ErrorIs(t, late(Msg{from: &origin{source: s, nth: 1}}), ErrLease)
				assert.NoError(t, late(Msg{from: &origin{source: s}}), "which was settled in time")
				c := r.acks.counts
				assert.Equal(t, []uint64{1, 1, 0}, []uint64{c.AckedIn, c.ExpiredIn, c.NackedIn})
				require.NoError(t, p.Close())
			})
		})
	}
}

// A lease that runs out while Ack or Nack is under way, just after that has looked at the clock, was in time.
func TestLease_OneLookAtTheClock(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(Msg) error{"ack": Msg.Ack, "nack": func(m Msg) error { return m.Nack(Nack{}) }} {
		for _, windowed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", windowed), func(t *testing.T) {
				t.Parallel()
				p := NewPull(WithAck(), WithLease(time.Hour))
				r := &p.receiver
				in := &inbound{r: r, p: &pipe{}, peer: &Peer{}, open: true}
				in.state.Grant(2, 2)
				_, err := in.state.Deliver(2)
				require.NoError(t, err)
				s := &source{in: in, peer: in.peer, tag: 1, terms: r.leases.terms(2)}
				o, next := &origin{source: s}, &origin{source: s, nth: 1}
				mark := spool.Mark{ID: "x"}
				if windowed {
					f := &flight{mark: mark, owner: o, copies: []held{{m: Msg{from: next}, mark: mark}}}
					s.flights = []*flight{f, nil}
					r.once = &once{r: r, flights: newFlights(), waiting: map[*flight]struct{}{f: {}}}
					r.once.flights.add(f)
				}
				r.leases.begin(o)
				looks := term(0)
				r.leases.now = func() term { looks++; return s.terms[0] - 2 + looks }
				require.NoError(t, call(Msg{from: o}))
				r.mu.Lock()
				assert.Zero(t, r.acks.counts.ExpiredIn)
				switch {
				case windowed && name == "ack":
					assert.Equal(t, handled, o.flight().state)
				case windowed:
					assert.NotNil(t, next.flight())
					assert.Same(t, next.flight(), r.once.flights.find(mark))
				default:
					assert.EqualValues(t, 1, r.acks.counts.AckedIn+r.acks.counts.NackedIn)
				}
				r.once = nil
				r.mu.Unlock()
				require.NoError(t, p.Close())
			})
		}
	}
}

// A tick looks at those that are due and the first that is not, however many wait behind.
func TestLease_TickLooksNoFurtherThanItMust(t *testing.T) {
	t.Parallel()
	p := NewPull(WithAck(), WithLease(time.Hour))
	r := &p.receiver
	in := &inbound{r: r, p: &pipe{}, peer: &Peer{}, open: true}
	in.state.Grant(4, 4)
	_, err := in.state.Deliver(4)
	require.NoError(t, err)
	s := &source{in: in, peer: in.peer, tag: 1, terms: r.leases.terms(4)}
	clock := term(0)
	r.leases.now = func() term { return clock }
	for i := range uint32(4) {
		clock++
		r.leases.begin(&origin{source: s, nth: i})
	}
	require.NoError(t, Msg{from: &origin{source: s}}.Ack())
	r.mu.Lock()
	unseen := lease{now: new(term)} // which cannot be looked at
	l := r.leases
	l.queue = append(l.queue, unseen)
	assert.NotPanics(t, func() { l.expireLocked(term(time.Hour) + 2) })
	assert.Len(t, l.queue, 3)
	assert.EqualValues(t, 1, r.acks.counts.ExpiredIn)
	l.queue = l.queue[:2]
	l.expireLocked(term(time.Hour) + 4)
	assert.Empty(t, l.queue)
	assert.EqualValues(t, 3, r.acks.counts.ExpiredIn)
	r.mu.Unlock()
	require.NoError(t, p.Close())
}
