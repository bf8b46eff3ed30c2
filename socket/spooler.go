package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// spooler is the sending half of PUSH and DEALER with WithSpool: messages go into the spool, and from there to peers by a courier. Without
// the option it does nothing.
type spooler struct {
	c       *core
	spool   Spool // nil without WithSpool
	from    SpoolConsumer
	courier *courier
	stream  spool.ID
	cancel  context.CancelFunc // ends the courier
	ctx     context.Context
	stopped atomic.Bool // Shutdown or Close began
	msgs    atomic.Uint64
	bytes   atomic.Uint64

	settlements settlements

	startMu sync.Mutex // guards the field below
	started bool       // the courier runs

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
	from, err := log.Consumer("", spool.Beginning())
	if err != nil {
		return errors.Join(err, log.Close())
	}
	s.spool, s.from = log, from
	s.stream, _ = log.Stream()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.courier = newCourier(from, c.cfg.retryPolicy(), s.hear)
	c.spooler, c.keeper = s, s
	return nil
}

// hear passes on what the courier says.
func (s *spooler) hear(n courierNews) {
	switch {
	case n.settled:
		signal(s.c.drained)
		s.settlements.tell()
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
		s.c.hub.emit(Event{Kind: SpoolTrouble, Err: n.trouble})
	}
}

// parcel is a copy of a message that Send was given. What goes to a Spool may be kept by it for all the compiler knows, so that it would be on the heap
// in every Send, with a spool or without.
type parcel struct {
	frames [][]byte
	b      []byte
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// keptParcel is the most bytes that a parcel keeps for the next message.
const keptParcel = 256 << 10

func pack(frames [][]byte, size int) *parcel {
	p := parcels.Get().(*parcel)
	if cap(p.b) < size {
		p.b = make([]byte, 0, size)
	}
	p.b, p.frames = p.b[:0], p.frames[:0]
	for _, f := range frames {
		begin := len(p.b)
		p.b = append(p.b, f...)
		p.frames = append(p.frames, p.b[begin:len(p.b):len(p.b)])
	}
	return p
}

func (p *parcel) recycle() {
	if cap(p.b) <= keptParcel {
		parcels.Put(p)
	}
}

// send puts a message into the spool and returns when it is as safe as the policy says.
func (s *spooler) send(ctx context.Context, frames [][]byte, size int) error {
	if s.stopped.Load() {
		return &Error{Op: "send", Err: ErrClosed}
	}
	p := pack(frames, size)
	n, err := s.spool.Append(ctx, p.frames...)
	p.recycle()
	s.accept(n, size)
	return failure("send", n, err)
}

// accept counts a message that has its place.
func (s *spooler) accept(n uint64, size int) {
	if n > 0 {
		s.msgs.Add(1)
		s.bytes.Add(uint64(size))
	}
}

// failure is the error of a call that put message n into the spool, or of one that did not if n is 0.
func failure(op string, n uint64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		why := ErrFull
		if n > 0 {
			why = ErrUnconfirmed
		}
		err = &blocked{why, err}
	case errors.Is(err, spool.ErrFull):
		err = fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, spool.ErrTooLarge):
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, spool.ErrFailed): // which its being closed does not undo
	case errors.Is(err, spool.ErrClosed):
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return &Error{Op: op, Err: err}
}

// ready returns why the methods that need a spool cannot be used, if so.
func (s *spooler) ready(op string) error {
	var err error
	switch {
	case s.c == nil:
		err = fmt.Errorf("%w: zero value: make sockets with NewPush, NewPull and so on", ErrState)
	case s.c.bad != nil:
		err = s.c.bad
	case s.spool == nil:
		err = fmt.Errorf("%w: the socket has no spool: use WithSpool", ErrState)
	case s.stopped.Load():
		err = ErrClosed
	default:
		return nil
	}
	return &Error{Op: op, Err: err}
}

// attach makes a peer one that the courier brings messages to.
func (s *spooler) attach(p *pipe) {
	s.startMu.Lock()
	if !s.started {
		s.started = true
		go s.courier.run(s.ctx) // ends with s.cancel in close, which waits for it
	}
	s.startMu.Unlock()
	p.member.Load().join()
}

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
	p.out.Retain(link.Retention{Plain: !acknowledges, Greeting: greeting, Stream: s.stream, Settled: m.settle, Progress: func(msgs int) {
		s.c.sent.written.Add(uint64(msgs))
	}})
}

// acked has nothing to do: the courier hears of it by numbers.
func (s *spooler) acked(*pipe, int) {}

// nacked has the courier deliver a message again, or bury it.
func (s *spooler) nacked(p *pipe, n zmtp.Nack) error {
	r, ok, err := p.takeBack(n.Tag)
	if ok {
		back := returned{number: r.Number, attempt: r.Attempt, blame: failed, after: n.After, reason: n.Reason}
		if n.Reject {
			back.blame = rejected
		}
		p.member.Load().giveBack(back)
		p.out.Report()
	}
	return err
}

// detach gives back what a connection that has ended did not settle. A message has failed if the connection ended within it: it may be one that the peer refuses.
func (s *spooler) detach(p *pipe) {
	m := p.member.Load()
	if m == nil {
		return
	}
	unsettled := p.out.Return()
	all := make([]returned, len(unsettled))
	begun := 0
	for i, r := range unsettled {
		all[i] = returned{number: r.Number, attempt: r.Attempt}
		switch {
		case r.Cut:
			all[i].blame, all[i].reason = failed, errCutWithin
		case r.Begun:
			all[i].blame = bystander
		}
		if r.Begun {
			begun++
		}
	}
	m.leave(all)
	p.redelivered(begun)
}

// spoolWay is the way to a peer of a socket with a spool.
type spoolWay struct{ p *pipe }

func (w spoolWay) deliver(d *delivery) (ok, flush bool) {
	return w.p.out.Deliver(d.frames, d.size, link.Delivery{Number: d.number, Incarnation: d.incarnation, Attempt: d.attempt, Failed: d.failed})
}

func (w spoolWay) flush() { w.p.out.Flush() }

func (w spoolWay) outstanding() int {
	msgs, _ := w.p.out.Outstanding()
	return msgs
}

// drain waits until everything is settled; without patience only while there is anybody who could. It returns what ended the wait before that.
func (s *spooler) drain(ctx context.Context, patient bool) error {
	if err := s.spool.Flush(ctx); err != nil {
		return err
	}
	for {
		if _, left := s.from.Position(); left == 0 {
			return nil
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
	s.startMu.Lock()
	running := s.started
	s.started = true
	s.startMu.Unlock()
	s.cancel()
	if running {
		<-s.courier.over
	}
	err := s.spool.Flush(context.Background())
	_, s.left = s.from.Position()
	s.closeErr = errors.Join(err, s.spool.Close())
}

// kept is the error of a shutdown that left messages in the spool, or could not make them safe.
func (s *spooler) kept(op string, cause error) error {
	var err error
	if s.left > 0 {
		err = fmt.Errorf("%w: %d of them", ErrSpooled, s.left)
		if cause != nil {
			err = &blocked{err, cause}
		}
	}
	if err = errors.Join(s.closeErr, err); err != nil {
		return &Error{Op: op, Err: err}
	}
	return nil
}
