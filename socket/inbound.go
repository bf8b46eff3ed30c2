package socket

import (
	"fmt"
	"slices"
	"time"

	"github.com/meshmq/meshmq/socket/internal/ack"
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// inbound is the receiving end of one connection whose messages are acknowledged. receiver.mu guards it, but for the fields of whoever reads.
type inbound struct {
	r       *receiver
	p       *pipe
	peer    *Peer
	state   ack.Receiver
	granted [2]uint64 // messages and bytes that the peer was told last
	open    bool      // something can be said on the connection
	owing   bool      // it is among acks.owing
	leaving leaving

	// The baton of the connection guards the fields below.
	ahead  run   // of the message that is read next
	coming []run // of messages that are read and not yet in the inbox
	runs   []run // of the messages that were put into the inbox last
}

// run is a row of messages whose numbers count up by one, from a tag on.
type run struct {
	tag     uint64
	number  uint64
	attempt uint32
	stream  *stamp // nil before the peer has named one
}

// stamp is what a sender calls its stream at some time.
type stamp struct {
	id          spool.ID
	incarnation uint32
}

// acks is what a receiver keeps for all its inbounds. receiver.mu guards the fields where they do not say otherwise.
type acks struct {
	onNext bool    // asking for a message acknowledges the one before; never changes
	asking bool    // a Recv is under way that has not found its message at once, onNext
	last   *origin // what the last one returned

	messages, bytes int // WithAckCredit, or SetAckCredit
	slab            []origin
	used            int        // of slab: a number, since a store of a pointer costs more while the collector runs
	owing           []*inbound // those with something to tell
	buf             []byte
	timer, watch    *time.Timer
	armed, watching bool
	stopped         bool
	counts          AckStats
}

func (a *acks) init(r *receiver) {
	cfg := &r.c.cfg
	a.onNext = cfg.ack && !cfg.ackManually
	a.messages, a.bytes = cfg.ackMessages, cfg.ackBytes
}

func (a *acks) stopLocked() {
	a.stopped = true
	for _, t := range []*time.Timer{a.timer, a.watch} {
		if t != nil {
			t.Stop()
		}
	}
}

// openLocked begins with a new connection of p. r.mu is held.
func (r *receiver) openLocked(p *pipe) {
	peer := p.peer.Load()
	if !peer.ackIn {
		p.inbound.Store(nil)
		return
	}
	in := &inbound{r: r, p: p, peer: peer, open: true, granted: [2]uint64{1: 1}} // which is no grant, and differs from all
	p.inbound.Store(in)
	in.grantLocked()
}

// command handles STREAM and SKIP. The baton is held.
func (in *inbound) command(name, data []byte) error {
	l := in.p.in.Load()
	if l.Inside() {
		return errInside
	}
	next, err := in.ahead.follow(l.Msgs()+1, name, data)
	if err != nil {
		return err
	}
	in.ahead = next
	if n := len(in.coming); n > 0 && in.coming[n-1].tag == next.tag {
		in.coming[n-1] = next
	} else {
		in.coming = append(in.coming, next)
	}
	return nil
}

// follow returns the run that a STREAM or SKIP before the message of this tag begins.
func (a run) follow(tag uint64, name, data []byte) (run, error) {
	if string(name) == zmtp.CommandSkip {
		distance, err := zmtp.ParseSkip(data)
		number := a.number + tag - a.tag
		switch {
		case err != nil:
			return a, err
		case a.stream == nil || number > zmtp.MaxNumber || distance > zmtp.MaxNumber-number:
			return a, fmt.Errorf("%w: SKIP of %d from %d", zmtp.ErrCommand, distance, number)
		}
		a.tag, a.number = tag, number+distance
		return a, nil
	}
	s, err := zmtp.ParseStream(data)
	switch {
	case err != nil:
		return a, err
	case s.Named && (a.stream == nil || *a.stream != stamp{s.ID, s.Incarnation}):
		a.stream = &stamp{s.ID, s.Incarnation}
	case a.stream == nil:
		return a, fmt.Errorf("%w: STREAM names none, and none was named before", zmtp.ErrCommand)
	}
	a.tag, a.number, a.attempt = tag, s.Number, s.Attempt
	return a, nil
}

// admitLocked puts a batch into the inbox, if the peer may send so much. receiver.mu and the baton are held.
func (r *receiver) admitLocked(in *inbound, b link.Batch) {
	if !in.open {
		r.acks.counts.ReturnedIn += uint64(b.Msgs)
		return
	}
	first, err := in.state.Deliver(uint64(b.Msgs))
	if err != nil {
		in.p.fail(err)
		return
	}
	in.enter(first)
	s := &source{peer: in.peer, lease: b.Lease, in: in, tag: first, runs: in.runs, terms: r.leases.terms(b.Msgs)}
	if r.once != nil {
		s.flights = make([]*flight, b.Msgs)
	}
	r.arriveLocked(in.p, arrival{batch: b, source: s})
}

// enter has runs say what the messages from tag on are part of. The baton is held.
func (in *inbound) enter(tag uint64) {
	if len(in.coming) == 0 {
		if len(in.runs) > 1 {
			in.runs = slices.Clone(in.runs[len(in.runs)-1:]) // not to keep those before
		}
		return
	}
	last := in.runs
	if len(last) > 0 {
		last = last[len(last)-1:]
		if in.coming[0].tag <= tag {
			last = nil
		}
	}
	in.runs = slices.Concat(last, in.coming)
	in.coming = in.coming[:0]
}

// slabOrigins is how many origins one allocation holds: 16 KiB, much less than a message that is kept holds of what was read with it, and a larger one costs less for each.
const slabOrigins = 1024

// settleLocked acknowledges a message, unless it is settled or its connection is gone. r.mu is held.
func (r *receiver) settleLocked(o *origin) {
	in := o.in
	if in.open && in.owing && in.state.Next(o.tag(), int(o.size)) { // as most are: in order, with others to be told of
		r.acks.counts.AckedIn++
		return
	}
	if !in.open || !in.state.Settle(o.tag(), int(o.size)) {
		return
	}
	r.acks.counts.AckedIn++
	if r.c.cfg.ackDelay == 0 || in.state.Due() {
		in.tellLocked()
		in.leaving.due()
	} else if !in.owing {
		in.owing = true
		r.acks.owing = append(r.acks.owing, in)
		r.armLocked()
	}
}

// unwantedLocked is for a message that was unsubscribed from after it had come. It is done with, as what comes behind it is passed over; but with nothing subscribed to a
// durable subscription waits, so it goes back. It reports false for one that is wanted again by now. r.mu is held.
func (r *receiver) unwantedLocked(o *origin, topic []byte) bool {
	wanted, others := r.stands(topic)
	switch {
	case wanted:
		return false
	case others:
		r.settleLocked(o)
	case o.in.open && o.in.refuseLocked(o.tag(), Nack{Reason: "nothing is subscribed to any more"}):
		r.acks.counts.NackedIn++
	}
	return true
}

// armLocked has what is owed told in a while. The timer is not stopped when it is told earlier: another time it would be set again for the next message.
func (r *receiver) armLocked() {
	a := &r.acks
	switch {
	case a.armed || a.stopped:
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(r.c.cfg.ackDelay, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			a.armed = false
			r.urgeLocked()
		})
	default:
		a.timer.Reset(r.c.cfg.ackDelay)
	}
	a.armed = true
}

// urgeLocked tells all peers what was acknowledged, as soon as that is marked. r.mu is held.
func (r *receiver) urgeLocked() {
	if r.once != nil && len(r.once.handled) > 0 {
		signal(r.once.wake)
	}
	r.tellLocked(nil)
}

// tellLocked tells peers what they do not know yet, but for those that later, unless it is nil, says true of.
func (r *receiver) tellLocked(later func(*inbound) bool) {
	left := r.acks.owing[:0]
	for _, in := range r.acks.owing {
		if later != nil && later(in) {
			left = append(left, in)
			continue
		}
		in.owing = false
		in.tellLocked()
	}
	clear(r.acks.owing[len(left):])
	r.acks.owing = left
}

// tellLocked sends what the peer does not know yet. receiver.mu is held.
func (in *inbound) tellLocked() {
	if !in.open || !in.state.Pending() {
		return
	}
	in.r.acks.buf = in.state.Append(in.r.acks.buf[:0])
	in.sayLocked(in.r.acks.buf)
}

// errUnread is about a peer that would have us keep for ever what it does not read.
var errUnread = fmt.Errorf("%w: it goes on sending, and reads nothing of what settles its messages", ack.ErrViolation)

// sayLocked tells the peer what became of its messages. receiver.mu is held.
func (in *inbound) sayLocked(frame []byte) {
	if uint64(in.p.out.Settle(frame)) > in.state.MaxUnread() {
		in.p.kill(errUnread)
	}
}

// closeLocked notes that nothing more can be said. r.mu is held.
func (r *receiver) closeLocked(in *inbound) {
	if in == nil {
		return
	}
	in.open = false
	if r.once != nil {
		r.once.leaveLocked(in)
	}
}

// lastWords returns what is to be said on the connection before we end it, nil where nothing is acknowledged. What Recv has not returned goes back to its sender, who
// has it still.
func (p *pipe) lastWords() []byte {
	in := p.inbound.Load()
	if in == nil {
		return nil
	}
	r := in.r
	if r.once != nil {
		r.once.settle()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !in.open { // said already, by who hangs up at the same time: wait for it
		return []byte{}
	}
	words := zmtp.AppendCredit(in.state.Append([]byte{}), 0, 0) // by which the peer knows that we leave in order
	r.closeLocked(in)
	r.sendBackLocked(in)
	return words
}

// abandon lets go of what came on a connection and was not returned by Recv, since it comes again.
func (r *receiver) abandon(in *inbound) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeLocked(in)
	r.sendBackLocked(in)
}

// holds reports whether Recv has not returned all that came on a connection.
func (r *receiver) holds(in *inbound) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(in.p.inbox[in.p.next:], func(a arrival) bool { return a.source.in == in })
}

// sendBackLocked empties the inbox of what came on a connection. r.mu is held.
func (r *receiver) sendBackLocked(in *inbound) {
	p := in.p
	kept := slices.Clone(p.inbox[p.next:])
	kept = slices.DeleteFunc(kept, func(a arrival) bool {
		if a.source.in != in {
			return false
		}
		r.acks.counts.ReturnedIn += uint64(a.batch.Msgs)
		p.inMsgs -= a.batch.Msgs
		p.inBytes -= a.batch.Left()
		p.inHeld -= a.held
		return true
	})
	if len(kept) == len(p.inbox)-p.next {
		return
	}
	p.inbox, p.next = kept, 0
	if r.turn == p {
		r.turn = nil
	}
	if len(kept) == 0 {
		p.inBytes = 0
		r.fair.Leave(p.seat)
		if !p.present {
			r.fair.Remove(p)
			p.seat = nil
		}
	}
}

// ackStats fills in what is counted here.
func (r *receiver) ackStats(s *AckStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.acks.counts
	s.AckedIn, s.NackedIn, s.RedeliveredIn, s.ReturnedIn = c.AckedIn, c.NackedIn, c.RedeliveredIn, c.ReturnedIn
	s.DuplicatesIn, s.ConflictsIn, s.ExpiredIn, s.LateIn = c.DuplicatesIn, c.ConflictsIn, c.ExpiredIn, c.LateIn
	for p := range r.peers {
		if in := p.inbound.Load(); in != nil {
			s.UnackedIn += int(in.state.Open())
		}
	}
}
