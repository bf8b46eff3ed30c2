package socket

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// spooler is the sending half of PUSH and DEALER with WithSpool: messages go into the spool, and from there to peers by a courier. Without
// the option it does nothing.
type spooler struct {
	intake
	from    SpoolConsumer
	courier *courier
	cancel  context.CancelFunc // ends the courier
	ctx     context.Context

	settlements settlements

	// Set before core.closed is closed.
	left     uint64 // messages that stay
	closeErr error
}

// init opens the spool, if there is to be one.
func (s *spooler) init(c *core) {
	s.c = c
	if c.bad != nil || c.cfg.openSpool == nil {
		return
	}
	if err := s.open(c); err != nil {
		c.bad = fmt.Errorf("%w: WithSpool: %w", ErrOption, err)
	}
}

func (s *spooler) open(c *core) error {
	log, err := c.cfg.openSpool()
	if err != nil {
		return err
	}
	if err := c.cfg.checkKind(log); err != nil {
		return errors.Join(err, log.Close())
	}
	from, err := log.Consumer("", spool.Beginning())
	if err != nil {
		return errors.Join(err, log.Close())
	}
	s.spool, s.from = log, from
	s.stream, _ = log.Stream()
	c.cfg.announce(log)
	c.tellRecovery(SpoolTrouble, SpoolTorn, log)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.courier = newCourier(from, c.cfg.retryPolicy(), s.hear)
	s.courier.before = log.State().Next - 1
	c.spooler, c.keeper = s, s
	s.watched = make(chan struct{})
	go s.courier.run(s.ctx) // ends with s.cancel in close, which waits for it
	go s.watch(s.ctx, s.moved)
	return nil
}

// hear passes on what the courier says.
func (s *spooler) hear(n courierNews) {
	switch {
	case n.settled:
		s.moved()
	case n.gap != nil:
		reason := DropQuota
		if n.gap.Damaged {
			reason = DropDamaged
		}
		s.c.drop(nil, reason, int(n.gap.To-n.gap.From+1))
	case n.dead != nil:
		s.c.sent.dead.Add(1)
		s.c.bury(*n.dead)
	case n.trouble != nil:
		s.trouble("", n.trouble)
	}
}

// moved has those look who wait for what is in the spool to be settled.
func (s *spooler) moved() {
	signal(s.c.drained)
	s.settlements.tell()
}

// attach makes a peer one that the courier brings messages to.
func (s *spooler) attach(p *pipe) { p.member.Load().join() }

// retain has a connection that is to be attached keep what it is given until that is settled. Towards peers that do not acknowledge, that
// is when it is written.
func (s *spooler) retain(p *pipe) {
	m := s.courier.member(spoolWay{p})
	p.member.Store(m)
	greeting := 0
	for _, on := range []bool{s.c.cfg.probe, s.c.cfg.hello != nil} {
		if on {
			greeting++
		}
	}
	_, acknowledges := p.peer.Load().Acknowledged()
	p.out.Retain(link.Retention{Plain: !acknowledges, Greeting: greeting, Stream: s.stream, Acked: &s.c.sent.acked, Settled: m.settle, Progress: func(msgs int) {
		s.c.sent.written.Add(uint64(msgs))
	}})
}

// acked has nothing to do: the courier hears of it by numbers.
func (s *spooler) acked(*pipe, int) {}

func (s *spooler) nacked(p *pipe, n zmtp.Nack) error { return p.refuse(n) }

// refuse has p's courier deliver a message again that the peer refused, or bury it.
func (p *pipe) refuse(n zmtp.Nack) (err error) {
	why := failed
	if n.Reject {
		why = rejected
	} else if d := p.durable.Load(); d != nil && d.handsBack(n.Tag) {
		why = bystander
	}
	take := func() (back returned, ok bool) {
		var r link.Returned
		r, ok, err = p.takeBack(n.Tag)
		return returned{number: r.Number, attempt: r.Attempt, blame: why, after: n.After, reason: n.Reason}, ok
	}
	if m := p.member.Load(); m != nil {
		m.giveBack(take)
		p.out.Report()
	} else { // nothing was sent
		take()
	}
	return err
}

// detach gives back what a connection that has ended did not settle.
func (s *spooler) detach(p *pipe) {
	if m := p.member.Load(); m != nil {
		p.part(m)
	}
}

// part ends p's membership.
func (p *pipe) part(m *member) {
	ours, begun := p.leftByUs(), 0
	m.leave(func() (all []returned) {
		all, begun = returnedBy(p.out.Return(), ours)
		return all
	})
	p.redelivered(begun)
}

// returnedBy says why messages come back from a connection that has ended, and how many of them had been sent, or begun to be. One has failed if the connection ended within it, which the peer may
// refuse, or while the peer had it, whom it may have ended. ours says that we ended the connection.
func returnedBy(unsettled []link.Returned, ours bool) (all []returned, begun int) {
	all = make([]returned, len(unsettled))
	for i, r := range unsettled {
		all[i] = returned{number: r.Number, attempt: r.Attempt}
		switch {
		case r.Cut:
			all[i].blame, all[i].sole, all[i].reason = orphaned, true, errCutWithin
		case r.Lost && !ours:
			all[i].blame, all[i].sole = orphaned, r.Sole
		case r.Begun:
			all[i].blame = bystander
		}
		if r.Begun {
			begun++
		}
	}
	return all, begun
}

// spoolWay is the way to a peer of a socket with a spool.
type spoolWay struct{ p *pipe }

func (w spoolWay) deliver(d *delivery) (ok, flush bool) {
	return w.p.out.Deliver(d.frames, d.size, link.Delivery{
		Number: d.number, As: d.origin, Incarnation: d.incarnation, Attempt: d.attempt, Failed: d.failed, Alone: d.alone,
	})
}

func (w spoolWay) flush() { w.p.out.Flush() }

func (w spoolWay) refuses(e extent) error { return w.p.refuses(e) }

func (w spoolWay) outstanding() int {
	msgs, _ := w.p.out.Outstanding()
	return msgs
}

// drain waits until everything is settled; without patience only while there is anybody who could. It returns what ended the wait before that.
func (s *spooler) drain(ctx context.Context, patient bool) error {
	if err := syncOf(ctx, s.spool); err != nil {
		return err
	}
	for {
		if _, left := s.from.Position(); left == 0 {
			return nil
		}
		if err := s.broken(); err != nil {
			return err
		}
		if members, _ := s.courier.members(); members == 0 && !patient {
			return ErrNoPeer
		}
		select {
		case <-s.c.drained:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.c.hurried.Done():
			return s.c.hurried.Err()
		}
	}
}

// close ends the courier, when all connections have ended, and lets the spool go.
func (s *spooler) close() {
	s.cancel()
	<-s.courier.over
	<-s.watched
	s.closeErr = closeAtEnd(s.spool)
	s.left = pendingOf(s.from) // nothing goes any more
}

// kept is the error of a shutdown that left messages in the spool, or could not make them safe.
func (s *spooler) kept(op string, cause error) error {
	var err error
	if s.left > 0 {
		err = fmt.Errorf("%w: %d of them", ErrSpooled, s.left)
		if errors.Is(cause, ErrNoPeer) { // nobody was to be found
			err = fmt.Errorf("%w: %w", err, cause)
		} else if cause != nil {
			err = &blocked{err, cause}
		}
	}
	if err = errors.Join(s.closeErr, err); err != nil {
		return &Error{Op: op, Err: err}
	}
	return nil
}
