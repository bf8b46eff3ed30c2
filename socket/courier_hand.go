package socket

import (
	"errors"
	"math"
)

// hand gives a message to a member, unless older ones have come back, which go first: errLook. The other errors are errNoRoom, errUnwanted, errRefused and
// errParked.
func (c *courier) hand(d *delivery) error {
	d.alone = c.retry.spent(d.failed)
	var only *member
	if c.lanes != nil {
		to, free := c.lanes.admit(d)
		if !free {
			return c.park(d)
		}
		only = to
	}
	c.mu.Lock()
	if len(c.returned) > 0 {
		c.mu.Unlock()
		return errLook
	}
	for {
		m, err := c.pickLocked(d, only)
		if err != nil {
			c.mu.Unlock()
			if only != nil && !errors.Is(err, errUnwanted) {
				return c.park(d) // others need not wait for that member
			}
			return err
		}
		if err := m.to.refuses(d.extent); err != nil {
			c.mu.Unlock()
			if only != nil {
				return c.park(d) // others may take it, when that member is done with its key
			}
			if c.lanes != nil {
				c.lanes.hold(d)
			}
			c.fail(retry{number: d.number, attempt: d.attempt, reason: err.Error()}, 0)
			return errRefused
		}
		took, flush := m.to.deliver(d)
		if !took {
			c.ring.Deactivate(m)
			continue
		}
		c.flying++
		c.counts.delivered++
		if d.attempt > 1 {
			c.counts.redelivered++
		}
		c.mu.Unlock()
		c.handed(d, m)
		if flush {
			m.to.flush()
		}
		return nil
	}
}

// handed notes who has a message.
func (c *courier) handed(d *delivery, m *member) {
	c.top = max(c.top, d.number)
	if c.lanes != nil {
		c.lanes.handed(d, m)
	}
}

// pickLocked returns the member that is to have a message: only, if that is not nil. c.mu is held.
func (c *courier) pickLocked(d *delivery, only *member) (*member, error) {
	if c.halted || c.ring.Active() == 0 {
		return nil, errNoRoom
	}
	if !c.choosy {
		m, _ := c.ring.Least(scanned, outstanding)
		if m.to.refuses(d.extent) == nil {
			return m, nil
		}
	}
	var topic []byte
	if len(d.frames) > 0 {
		topic = d.frames[0]
	}
	wanted := func(m *member) bool { return !c.choosy || m.wants(topic) }
	if only == nil && c.ring.Active() == 1 { // there is no choice, as is usual
		if m, _ := c.ring.Next(); wanted(m) && m.to.refuses(d.extent) == nil {
			return m, nil
		}
	}
	const never = math.MaxInt
	load := func(m *member) int {
		switch {
		case only != nil && m != only || !wanted(m):
			return never
		case only == nil && m.to.refuses(d.extent) != nil:
			return never - 1
		}
		return min(outstanding(m), never-2)
	}
	m, _ := c.ring.Least(c.ring.Active(), load)
	least := load(m)
	refused := least == never-1
	if least < never-1 {
		return m, nil
	}
	found := false
	for other := range c.crew {
		if wanted(other) {
			found = true
			if !refused || other.to.refuses(d.extent) == nil {
				return nil, errNoRoom // it has none, or is not the one
			}
		}
	}
	if found {
		return m, nil // all refuse it
	}
	return nil, errUnwanted
}

func outstanding(m *member) int { return m.to.outstanding() }
