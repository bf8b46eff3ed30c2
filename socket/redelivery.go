package socket

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// redelivery is a message that came back from a peer.
type redelivery struct {
	link.Returned
	to     string    // routing id of who gets it, empty for whoever has room
	reason string    // of its last failure
	due    time.Time // later: when it is to be delivered; again: when it is given up unless its peer is back, zero for never
}

// redeliveries wait for their time, as a heap.
type redeliveries []redelivery

func (r redeliveries) Len() int           { return len(r) }
func (r redeliveries) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r redeliveries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *redeliveries) Push(x any)        { *r = append(*r, x.(redelivery)) }
func (r *redeliveries) Pop() any {
	n := len(*r) - 1
	last := (*r)[n]
	(*r)[n] = redelivery{}
	*r = (*r)[:n]
	return last
}

// failedLocked decides what becomes of a message that its receiver refused.
func (a *assured) failedLocked(r redelivery, n zmtp.Nack) {
	switch {
	case n.Reject:
		r.reason = cmp.Or(n.Reason, "rejected without a reason")
		a.giveUpLocked(r)
	case a.retry.spent(r.Failed):
		r.reason = fmt.Sprintf("%d deliveries failed, the last one: %s", r.Failed, cmp.Or(n.Reason, "no reason given"))
		a.giveUpLocked(r)
	default:
		pause := n.After
		if pause == 0 {
			pause = a.retry.pause(r.Failed)
		}
		r.due = time.Now().Add(pause)
		heap.Push(&a.later, r)
		a.holdLocked(r.to, r.Size)
		a.c.sent.redelivered.Add(1)
		a.armLocked()
	}
}

// insertLocked puts a message among those that are delivered before anything newer. sortLocked follows.
func (a *assured) insertLocked(r redelivery) {
	if r.to != "" {
		a.keyed[r.to]++
		r.due = a.awayUntilLocked(r.to)
	}
	a.again = append(a.again, r)
}

// awayUntilLocked returns when what goes to a routing id is given up unless its peer is back, zero for never: the peer is here, or may take any time.
func (a *assured) awayUntilLocked(to string) (until time.Time) {
	if _, here := a.half.next(to, extent{}); !here && a.c.cfg.awayLimit > 0 {
		until = time.Now().Add(a.c.cfg.awayLimit)
	}
	return until
}

// renewLocked has the time begin anew for what goes to a routing id, whose peer has come or gone.
func (a *assured) renewLocked(to string) {
	if a.keyed[to] == 0 {
		return
	}
	until := a.awayUntilLocked(to)
	for i := range a.again {
		if r := &a.again[i]; r.to == to {
			r.due = until
		}
	}
}

const goneForGood = "the peer has gone, and has no identity to come back under"

// forsakeLocked gives up what goes to a routing id that nobody will have again.
func (a *assured) forsakeLocked(to string) {
	if a.keyed[to] == 0 && a.held[to].msgs == 0 {
		return
	}
	forsake := func(from []redelivery, free func(*redelivery)) []redelivery {
		return slices.DeleteFunc(from, func(r redelivery) bool {
			if r.to == to {
				free(&r)
				r.reason = goneForGood
				a.giveUpLocked(r)
			}
			return r.to == to
		})
	}
	a.again = forsake(a.again, a.unkeyLocked)
	a.later = forsake(a.later, func(r *redelivery) { a.releaseLocked(to, r.Size) })
	heap.Init(&a.later)
}

// sortLocked is called when insertLocked was.
func (a *assured) sortLocked() {
	slices.SortFunc(a.again, func(a, b redelivery) int { return cmp.Compare(a.Number, b.Number) })
}

// resumeLocked delivers what came back, as far as there is room.
func (a *assured) resumeLocked() {
	if len(a.again) == 0 || a.c.ctx.Err() != nil {
		return
	}
	kept := a.again[:0]
	var stuck map[string]bool // whose order would suffer
	for i := range a.again {
		r := &a.again[i]
		if stuck[r.to] {
			kept = append(kept, *r)
			continue
		}
		p, flush, err := a.place(r.to, r.Frames, nil, r.Size, r.Delivery)
		switch {
		case err != nil:
			a.unkeyLocked(r)
			r.Attempt++
			r.Failed++
			a.failedLocked(*r, zmtp.Nack{Reason: err.Error()})
		case p == nil && r.to == "":
			a.again = append(kept, a.again[i:]...)
			return
		case p == nil:
			if stuck == nil {
				stuck = map[string]bool{}
			}
			stuck[r.to] = true
			kept = append(kept, *r)
		default:
			a.placedLocked(r, p, flush)
		}
	}
	clear(a.again[len(kept):])
	a.again = kept
	a.armLocked()
}

// placedLocked accounts for a message that is on its way again.
func (a *assured) placedLocked(r *redelivery, p *pipe, flush bool) {
	a.unkeyLocked(r)
	if flush {
		p.out.Wake()
	}
}

// unkeyLocked notes that a message is not among those of again any more.
func (a *assured) unkeyLocked(r *redelivery) {
	if r.to == "" {
		return
	}
	if a.keyed[r.to]--; a.keyed[r.to] == 0 {
		delete(a.keyed, r.to)
	}
}

// armLocked has tick called when the next message is due.
func (a *assured) armLocked() {
	var next time.Time
	if len(a.later) > 0 {
		next = a.later[0].due
	}
	for i := range a.again {
		if due := a.again[i].due; !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	switch {
	case next.IsZero() || a.closed:
	case a.timer == nil:
		a.timer = time.AfterFunc(time.Until(next), a.tick)
	default:
		a.timer.Reset(time.Until(next))
	}
}

// tick delivers what is due, and gives up what waited too long for its peer.
func (a *assured) tick() {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	now := time.Now()
	a.again = slices.DeleteFunc(a.again, func(r redelivery) bool {
		away := !r.due.IsZero() && !r.due.After(now)
		if away {
			a.unkeyLocked(&r)
			r.reason = "the peer did not come back within " + a.c.cfg.awayLimit.String()
			a.giveUpLocked(r)
		}
		return away
	})
	for len(a.later) > 0 && !a.later[0].due.After(now) {
		r := heap.Pop(&a.later).(redelivery)
		r.due = time.Time{}
		a.releaseLocked(r.to, r.Size)
		a.insertLocked(r)
	}
	a.sortLocked()
	a.resumeLocked()
	a.armLocked()
	a.wait.wakeAll()
	a.mu.Unlock()
	signal(a.c.drained)
	a.moved()
}
