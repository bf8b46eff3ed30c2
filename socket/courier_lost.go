package socket

import (
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
