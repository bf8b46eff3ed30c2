package socket

import (
	"math"
	"slices"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// loss is a gap that members were told of. It is acknowledged when a message is that was handed out behind that: one from behind on.
type loss struct {
	gap    spool.Gap
	behind uint64
}

// teller is a carrier that can be told of messages that are lost. It is called with the courier's lock held.
type teller interface{ lost(l *zmtp.Lost) }

// report tells all members of a gap. Gaps that follow one another are one.
func (c *courier) report(gap spool.Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := loss{gap: gap, behind: max(c.top, gap.To) + 1}
	if n := len(c.losses); n > 0 && c.losses[n-1].gap.To+1 == gap.From && c.losses[n-1].gap.Damaged == gap.Damaged {
		c.losses[n-1].gap.To, c.losses[n-1].behind = gap.To, l.behind
	} else {
		c.losses = append(c.losses, l)
	}
	for m := range c.crew {
		l.tell(m)
	}
}

func (l *loss) tell(m *member) {
	if t, ok := m.to.(teller); ok {
		t.lost(&zmtp.Lost{First: l.gap.From, Last: l.gap.To, Damaged: l.gap.Damaged})
	}
}

// informLocked tells a new member of what was lost before it came. c.mu is held.
func (c *courier) informLocked(m *member) {
	for i := range c.losses {
		c.losses[i].tell(m)
	}
}

// confirmed acknowledges the gaps that members know of, as what they have settled shows.
func (c *courier) confirmed(settled []numbers) {
	if !c.choosy || len(settled) == 0 {
		return
	}
	last := uint64(0)
	for _, s := range settled {
		last = max(last, s.hi)
	}
	c.mu.Lock()
	var known []loss
	c.losses = slices.DeleteFunc(c.losses, func(l loss) bool {
		if l.behind > last {
			return false
		}
		known = append(known, l)
		return true
	})
	c.mu.Unlock()
	for _, l := range known {
		c.acknowledge(numbers{l.gap.From, l.gap.To})
	}
}

// untold returns how many messages are gone that no member was told of, by a courier that has none; nil for one that never was.
func (c *courier) untold(of SpoolConsumer) uint64 {
	from, ok := of.(dropper)
	if !ok {
		return 0
	}
	_, n := from.Gone(1, math.MaxUint64)
	if c != nil {
		c.mu.Lock()
		losses := slices.Clone(c.losses)
		c.mu.Unlock()
		for _, l := range losses {
			_, told := from.Gone(l.gap.From, l.gap.To)
			n -= min(n, told)
		}
	}
	return n
}

// lapse tells of what the spool let go while nobody is there who takes messages, or has some, and acknowledges it: others may never come. It returns a channel that is
// closed when there may be more of it. The members of a durable subscription are to be told, so that it waits for them.
func (c *courier) lapse() <-chan struct{} {
	from, ok := c.from.(dropper)
	if !ok || c.choosy || !c.deserted() {
		return nil
	}
	told := c.passed.lo > 0
	c.acknowledge(c.passed)
	c.passed = numbers{}
	more := from.Lapsed()
	for len(c.owed) == 0 { // what is owed has been told
		gap, _ := from.Gone(1, math.MaxUint64)
		if gap == nil || c.from.Ack(gap.From, gap.To) != nil {
			break
		}
		c.ahead.held = c.ahead.held && c.ahead.d.number > gap.To
		c.again.held = false
		c.tell(courierNews{gap: gap})
		told = true
	}
	if told {
		c.tell(courierNews{settled: true})
	}
	return more
}

// deserted reports whether there are no members, and all is accounted for that those there were had.
func (c *courier) deserted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.crew) == 0 && c.flying == 0 && len(c.settled) == 0 && len(c.returned) == 0
}
