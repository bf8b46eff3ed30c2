package socket

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// assured is the part of a sending half that has messages acknowledged: nothing that Send took is forgotten before a peer has acknowledged it, or it was
// written to a peer that does not acknowledge. Messages on a connection are kept by link.Out; those that came back are here, and are
// delivered again before anything newer.
type assured struct {
	c      *core
	half   sendingHalf
	mu     *sync.Mutex // the half's
	wait   *waitq      // the half's: callers of Send
	stream spool.ID
	retry  retryPolicy

	waiting atomic.Int32 // callers of WaitAcked
	letters letters

	// mu guards the fields below.
	number  uint64             // of the last message taken
	pipes   map[*pipe]struct{} // connected
	again   []redelivery       // to be delivered again, by number
	later   redeliveries       // to be delivered again when it is time
	keyed   map[string]int     // messages of again by where they go, where the half routes by that
	held    map[string]load    // messages of later, and dead letters that are not passed on, by where they go; none that are zero
	mark    int                // WithSendHWM, or SetSendHWM
	timer   *time.Timer
	waiters waitq // callers of WaitAcked
	closed  bool
}

// sendingHalf is what assured needs to know of the half that it is part of. The calls are made with its lock held.
type sendingHalf interface {
	// next returns who may get such a message for the routing id to, which is empty where nobody is addressed. It is one that refuses
	// the message only where all that have room do.
	next(to string, e extent) (p *pipe, ok bool)
	// elsewhere reports whether a peer takes such a message, and is to be waited for, though the one that next returned refuses it.
	elsewhere(e extent) bool
	// full says that p, which next returned, has no room. It reports whether next may know another.
	full(p *pipe) bool
	// recall ends whatever is sent without the lock.
	recall()
}

// progress is what a pipe knows of the messages that it got on one connection.
type progress struct {
	given   int // guarded by the half's lock
	settled atomic.Int64
}

func newAssured(c *core, half sendingHalf, mu *sync.Mutex, wait *waitq) *assured {
	a := &assured{c: c, half: half, mu: mu, wait: wait, retry: c.cfg.retryPolicy(), pipes: map[*pipe]struct{}{}, keyed: map[string]int{}, held: map[string]load{}, mark: c.cfg.sendHWM}
	_, _ = rand.Read(a.stream[:]) // which never fails
	a.letters.a = a
	return a
}

func (a *assured) retain(p *pipe) {
	_, acknowledges := p.peer.Load().Acknowledged()
	sent := &progress{}
	p.sent.Store(sent)
	p.out.Retain(link.Retention{Plain: !acknowledges, Stream: a.stream, Acked: &a.c.sent.acked, Progress: func(msgs int) {
		a.c.sent.written.Add(uint64(msgs))
		a.acked(p, msgs)
	}})
}

// attach takes in a peer that connected.
func (a *assured) attachLocked(p *pipe) {
	a.pipes[p] = struct{}{}
	a.renewLocked(p.id)
	a.resumeLocked()
	signal(a.c.drained) // for Shutdown to watch it as well
}

// sendSure is send where messages are acknowledged.
func (b *balancer) sendSure(ctx context.Context, frames, given [][]byte, size int) error {
	for {
		b.mu.Lock()
		if err := b.err; err != nil {
			b.mu.Unlock()
			return &Error{Op: "send", Err: err}
		}
		p, flush, err := b.takeLocked(frames, given, size)
		if err != nil {
			b.mu.Unlock()
			return &Error{Op: "send", Err: err}
		}
		if p != nil {
			if b.wait.head != nil && b.ring.Active() > 0 {
				b.wait.wake()
			}
			b.mu.Unlock()
			if flush {
				p.out.Flush()
			}
			return nil
		}
		if err := b.block(ctx); err != nil {
			return &Error{Op: "send", Err: err}
		}
	}
}

// takeLocked is that of assured, in fewer steps.
func (b *balancer) takeLocked(frames, given [][]byte, size int) (p *pipe, flush bool, err error) {
	a := b.sure
	b.recall()
	if len(a.again) > 0 || a.fullLocked("") {
		return nil, false, nil
	}
	if given != nil || b.ring.Active() != 1 {
		return a.takeLocked("", frames, given, size)
	}
	p, _ = b.ring.Next()
	if p.refuses(extentOf(frames, size)) != nil {
		return a.takeLocked("", frames, given, size)
	}
	took, flush := p.out.Deliver(frames, size, link.Delivery{Number: a.number + 1, Attempt: 1})
	if !took {
		b.ring.Deactivate(p)
		return nil, false, nil
	}
	p.sent.Load().given++
	a.number++
	b.entrustLocked(p)
	return p, flush, nil
}

// takeLocked queues a new message at a peer, nil if none has room or others are to go out before. With flush the caller flushes the
// peer's queue when it holds no lock. The error is that of place.
func (a *assured) takeLocked(to string, frames, given [][]byte, size int) (p *pipe, flush bool, err error) {
	if len(a.again) > 0 && (to == "" || a.keyed[to] > 0) || a.fullLocked(to) {
		return nil, false, nil
	}
	p, flush, err = a.place(to, frames, given, size, link.Delivery{Number: a.number + 1, Attempt: 1})
	if p != nil {
		a.number++
	}
	return p, flush, err
}

// full says that a peer has no room.
func (b *balancer) full(p *pipe) bool {
	b.ring.Deactivate(p)
	return true
}

// place queues a message at a peer, nil if none has room that takes it. The error says that it is too large for all that are connected.
func (a *assured) place(to string, frames, given [][]byte, size int, d link.Delivery) (p *pipe, flush bool, err error) {
	d.Alone = a.retry.spent(d.Failed)
	e := extentOf(either(frames, given), size)
	for {
		p, ok := a.half.next(to, e)
		if !ok {
			return nil, false, nil
		}
		if err := p.refuses(e); err != nil {
			if a.half.elsewhere(e) {
				err = nil
			}
			return nil, false, err
		}
		var took bool
		if given != nil {
			took, flush = p.out.DeliverGiven(given, size, d)
		} else {
			took, flush = p.out.Deliver(frames, size, d)
		}
		if took {
			p.sent.Load().given++
			return p, flush, nil
		}
		if !a.half.full(p) {
			return nil, false, nil
		}
	}
}

// outstanding returns how many messages p was given on its connection that are not settled.
func (p *pipe) outstanding() int {
	s := p.sent.Load()
	return s.given - int(s.settled.Load())
}

func (a *assured) acked(p *pipe, msgs int) {
	p.sent.Load().settled.Add(int64(msgs))
	a.moved()
}

// moved has those look again who wait for messages to be settled.
func (a *assured) moved() {
	if a.waiting.Load() > 0 {
		a.mu.Lock()
		a.waiters.wakeAll()
		a.mu.Unlock()
	}
}

// nacked has a message delivered again later, or gives it up.
func (a *assured) nacked(p *pipe, n zmtp.Nack) error {
	a.mu.Lock()
	a.half.recall()
	r, ok, err := p.takeBack(n.Tag)
	if ok {
		p.sent.Load().settled.Add(1)
		r.Attempt++
		r.Failed++
		a.failedLocked(redelivery{Returned: r, to: p.id, reason: n.Reason}, n)
	}
	a.mu.Unlock()
	if ok {
		p.out.Report()
		signal(a.c.drained)
		a.moved()
	}
	return err
}

// detach takes back what the connection of p, which has ended, did not settle.
func (a *assured) detach(p *pipe) {
	a.mu.Lock()
	a.half.recall()
	delete(a.pipes, p)
	begun, closing, ours := 0, a.c.ctx.Err() != nil, p.leftByUs()
	nameless := p.id != "" && p.id[0] == 0
	if nameless && !closing {
		a.forsakeLocked(p.id)
	} else {
		a.renewLocked(p.id)
	}
	for _, r := range p.out.Return() {
		b := redelivery{Returned: r, to: p.id}
		if r.Begun {
			begun++
			b.Attempt++
		}
		switch {
		case r.Cut:
			b.Failed++
			b.reason = errCutWithin
		case r.Lost && !ours:
			b.Failed++
			b.reason = orphanedReason(b.Failed)
		}
		switch {
		case closing:
			a.insertLocked(b) // for close to count
		case b.reason != "" && (r.Cut || r.Sole) && a.retry.spent(b.Failed):
			a.giveUpLocked(b)
		case nameless:
			b.reason = goneForGood
			a.giveUpLocked(b)
		default:
			a.insertLocked(b)
		}
	}
	a.sortLocked()
	a.resumeLocked()
	a.wait.wakeAll() // p may have been the last that takes what somebody waits to send
	a.mu.Unlock()
	signal(a.c.drained)
	p.redelivered(begun)
	a.moved()
}

// waitAcked is WaitAcked of the types that have it.
func (c *core) waitAcked(ctx context.Context) error {
	err := c.usable()
	switch {
	case err != nil:
	case c.spooler != nil:
		err = c.spooler.waitAcked(ctx)
	case c.sure == nil:
		err = fmt.Errorf("%w: no WithAck and no WithSpool", ErrState)
	default:
		err = c.sure.waitAcked(ctx)
	}
	if err != nil {
		return &Error{Op: "wait for acknowledgements", Err: err}
	}
	return nil
}

// waitAcked waits until all that was taken so far is settled.
func (a *assured) waitAcked(ctx context.Context) error {
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	a.mu.Lock()
	a.half.recall()
	last := a.number
	for {
		left := a.pendingLocked(last)
		switch {
		case !left:
			a.mu.Unlock()
			return nil
		case a.closed:
			a.mu.Unlock()
			return ErrClosed
		}
		w := a.waiters.add()
		a.mu.Unlock()
		a.c.listen()
		if err := a.waiters.wait(ctx, a.mu, w); err != nil {
			return &blocked{nil, err}
		}
		a.mu.Lock()
	}
}

// pendingLocked reports whether a message up to last is not settled.
func (a *assured) pendingLocked(last uint64) bool {
	for _, rs := range [][]redelivery{a.again, a.later} {
		for i := range rs {
			if rs[i].Number <= last {
				return true
			}
		}
	}
	for p := range a.pipes {
		if n, ok := p.out.Oldest(); ok && n <= last {
			return true
		}
	}
	return false
}

// unsettled returns how many messages are not settled, wherever they are, and has Shutdown told when that changes. Messages move between peers
// and us with the lock held, so none is overlooked on its way.
func (a *assured) unsettled() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.again) + len(a.later)
	for p := range a.pipes {
		p.out.Watch()
		msgs, _ := p.out.Outstanding()
		n += msgs
	}
	return n
}

// left returns how many messages wait to be delivered again.
func (a *assured) left() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.again) + len(a.later)
}

// close gives up what is left, when all connections have ended.
func (a *assured) close() {
	a.mu.Lock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	n := len(a.again) + len(a.later)
	a.again, a.later = nil, nil
	a.waiters.wakeAll()
	a.mu.Unlock()
	a.letters.finish()
	a.c.drop(nil, DropClosed, n)
}
