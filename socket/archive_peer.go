package socket

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// durableWay is the way to a member of a durable subscription.
type durableWay struct{ spoolWay }

func (w durableWay) lost(l *zmtp.Lost) { w.p.out.Control(zmtp.AppendLost(nil, l), false) }

// wants is the filter of the peer's subscriptions.
func (d *subscribed) wants(topic []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.topics.Match(topic)
}

// subscribe notes a subscription, or its end.
func (d *subscribed) subscribe(topic []byte, added bool) {
	d.lookMu.Lock()
	defer d.lookMu.Unlock()
	d.mu.Lock()
	edge := false
	if added {
		edge = d.topics.Add(topic)
	} else {
		edge, _ = d.topics.Remove(topic)
	}
	if edge {
		d.digest ^= maphash.Bytes(d.a.seed, topic)
	}
	d.many = d.topics.Len()
	d.mu.Unlock()
	if d.lookLocked(); d.many == 0 {
		d.a.settlements.tell() // it is waited for no longer
	}
}

// quit has the peer get nothing more.
func (d *subscribed) quit() {
	d.lookMu.Lock()
	d.gone = true
	d.lookLocked()
	d.lookMu.Unlock()
}

// handsBack reports whether the peer, in refusing the message with this tag, may do so because it was subscribed to nothing when it had it: it is so still, or was
// since then.
func (d *subscribed) handsBack(tag uint64) bool {
	d.lookMu.Lock()
	defer d.lookMu.Unlock()
	return !d.joined || tag <= d.before
}

// agree has a peer that is subscribed to anything, and asks to be a member, be one that takes part.
func (d *subscribed) agree(g *group) error {
	d.lookMu.Lock()
	defer d.lookMu.Unlock()
	if d.many == 0 || d.gone {
		return nil
	}
	return g.accord.enter(d)
}

// lookLocked has the peer take part while it wants anything: what no member wants is passed over for good. One that wants something else than the others is refused, and what it has comes to those,
// whatever it says of it: it may have nobody any more to handle it. d.lookMu is held.
func (d *subscribed) lookLocked() {
	m, joins := d.p.member.Load(), d.group != nil && d.many > 0 && !d.gone
	if m == nil {
		return
	}
	var err error
	if joins || d.joined && !d.gone {
		err = d.group.accord.enter(d)
	}
	if err != nil {
		joins, d.gone = false, true
		d.refused.Store(true)
		d.a.refuse(d.p, d.group.name, err)
	}
	if !joins {
		d.group.accord.leave(d)
	}
	if joins == d.joined {
		return
	}
	if d.joined = joins; joins {
		d.before = d.p.out.Sent()
		m.join()
	} else {
		m.retire()
	}
}

// DurableStats is the part of Stats that concerns one durable subscription. What follows Lag counts since the socket was made.
type DurableStats struct {
	Name         string
	Members      int    // peers that share it now
	ByKey        bool   // they have WithKeyOrder
	Position     uint64 // all messages up to this number are handled
	Lag          uint64 // messages that are not, and are in the log
	InFlight     int    // messages that members have been sent, and have not settled
	Delivered    uint64 // sent to members, again ones included
	Redelivered  uint64 // of those, maybe delivered before
	Acked        uint64
	Failed       uint64 // deliveries that were refused, or whose connection ended: see WithAttempts
	DeadLettered uint64
	Lost         uint64 // messages that were gone from the log, or could not be read, before they were delivered; Stats.Missed has them, and an event, once a member is told
}

// Durables returns the durable subscriptions that the log has, with or without members, by name. It is nil for sockets without WithSpool.
func (a *archive) Durables() []DurableStats {
	if a.names == nil {
		return nil
	}
	a.makeMu.Lock()
	defer a.makeMu.Unlock()
	names := a.names.Consumers()
	slices.Sort(names)
	all := make([]DurableStats, 0, len(names))
	for _, name := range names {
		s := DurableStats{Name: name}
		var c *courier
		untold := uint64(0)
		a.mu.Lock()
		g := a.groups[name]
		if g != nil {
			s.Members, s.ByKey, s.Lost = g.members, g.byKey && g.members > 0, g.lost
			c, untold = g.courier, g.untold
		}
		a.mu.Unlock()
		from, err := a.in.spool.Consumer(name, spool.Beginning())
		if err != nil { // closed meanwhile
			break
		}
		s.Position, _ = from.Position()
		s.Lag = pendingOf(from)
		if g != nil {
			n := c.counted()
			_, s.InFlight = c.members()
			s.Delivered, s.Redelivered, s.Acked, s.Failed, s.DeadLettered = n.delivered, n.redelivered, n.settled, n.failed, n.buried
		}
		if s.Members == 0 {
			untold = c.untold(from)
		}
		s.Lost += untold
		all = append(all, s)
	}
	return all
}

// RemoveDurable forgets a durable subscription and its position, so that its name is new again. While it has members it is ErrState, and of one that is not there
// spool.ErrNoConsumer. It waits for what WithDeadLetter calls for that name. It is for sockets with WithSpool (ErrState).
func (a *archive) RemoveDurable(name string) error {
	const op = "remove durable subscription"
	if err := a.in.ready(op); err != nil {
		return err
	}
	for {
		ending, err := a.remove(name)
		if ending == nil {
			return failure(op, 1, err)
		}
		<-ending // without makeMu: it may be in what WithDeadLetter calls
	}
}

// remove forgets a durable subscription, unless the courier of its last members has not ended yet: ending is closed when it has.
func (a *archive) remove(name string) (ending <-chan struct{}, err error) {
	a.makeMu.Lock()
	defer a.makeMu.Unlock()
	a.mu.Lock()
	g := a.groups[name]
	members := 0
	if g != nil {
		members = g.members
	}
	a.mu.Unlock()
	if members > 0 {
		return nil, fmt.Errorf("%w: %d members of %q are connected", ErrState, members, name)
	}
	if g != nil {
		select {
		case <-g.courier.over:
		default:
			return g.courier.over, nil
		}
	}
	if err := a.names.RemoveConsumer(name); err != nil {
		return nil, err
	}
	a.mu.Lock()
	delete(a.groups, name)
	a.mu.Unlock()
	return nil, nil
}

// stats fills in what there is to say about the log.
func (a *archive) stats(into *Stats) {
	state := a.in.spool.State()
	into.Spool = &SpoolStats{Bytes: state.Bytes, Next: state.Next, Full: state.Full, Broken: state.Failed, Recovery: recoveryOf(a.in.spool), Durables: a.Durables()}
	for _, d := range into.Spool.Durables {
		s := into.Spool
		s.InFlight += d.InFlight
		s.Delivered += d.Delivered
		s.Redelivered += d.Redelivered
		s.Settled += d.Acked
		s.Failed += d.Failed
		s.DeadLettered += d.DeadLettered
	}
}

// unixNano is the time of so many nanoseconds after 1970.
func unixNano(n uint64) time.Time { return time.Unix(0, int64(min(n, math.MaxInt64))) }
