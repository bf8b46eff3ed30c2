package socket

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/route"
)

// balancer is the sending half of PUSH, DEALER, REQ, PAIR, CLIENT, SCATTER and CHANNEL: it deals messages out over the peers that have room
// and blocks when none has (RFC 28, RFC 30).
type balancer struct {
	c       *core
	spooler *spooler             // nil without WithSpool: it does all the sending then
	sole    atomic.Pointer[pipe] // the only peer while it has room, for which Send need not ask: see chooseLocked

	heeds bool // peers say what they take; set before the first is there

	mu    sync.Mutex // guards the fields below
	ring  route.RoundRobin[*pipe]
	wait  waitq
	picky bool     // a message waits for a peer that takes it, while others have room that do not
	err   error    // the socket is closed
	sure  *assured // nil where nothing is acknowledged; never changes
}

func (b *balancer) init(c *core) {
	b.c, b.spooler = c, c.spooler
	if c.bad == nil && c.cfg.ack && c.spooler == nil {
		b.sure = newAssured(c, b, &b.mu, &b.wait)
		c.keeper, c.sure = b.sure, b.sure
	}
	b.heeds = b.sure != nil || c.cfg.peerLimits
}

// enroll takes in an endpoint of Connect, which has a queue before it has a connection.
func (b *balancer) enroll(p *pipe) error {
	b.add(p)
	return nil
}

// attach takes in a peer that connected, unless it is in for its endpoint.
func (b *balancer) attach(p *pipe) {
	if b.spooler != nil {
		b.spooler.attach(p)
		return
	}
	if p.dialer == nil || !b.c.queueing {
		b.add(p)
	}
}

func (b *balancer) detach(p *pipe) {
	if b.spooler != nil {
		b.spooler.detach(p)
		return
	}
	if p.dialer == nil || !b.c.queueing {
		b.forget(p)
		if b.sure != nil {
			b.sure.detach(p)
		} else if b.c.cfg.reroute {
			b.reroute(p)
		}
	}
}

// reroute hands what p has left to other peers, as far as they have room. The rest is dropped.
func (b *balancer) reroute(p *pipe) {
	lost, handed, bytes := 0, 0, 0
	eachMessage(p.out.Take(), func(frames [][]byte) {
		size := Msg{Frames: frames}.Size()
		to, flush, err := b.try(frames, nil, size, nil)
		if to == nil {
			if err == nil {
				b.mu.Unlock()
			}
			lost++
			return
		}
		if flush {
			to.out.Flush()
		}
		handed++
		bytes += size
	})
	b.c.uncount(handed, bytes)
	b.c.drop(p, p.lossReason(), lost)
}

func (b *balancer) add(p *pipe) {
	b.mu.Lock()
	b.ring.Add(p)
	b.chooseLocked()
	if b.sure != nil {
		b.sure.attachLocked(p)
	}
	b.wakeLocked()
	b.mu.Unlock()
}

func (b *balancer) forget(p *pipe) {
	if m := p.member.Load(); m != nil {
		m.retire()
		return
	}
	b.mu.Lock()
	b.ring.Remove(p)
	b.chooseLocked()
	if b.picky { // p may have been the last that takes what somebody waits to send
		b.wakeLocked()
	}
	b.mu.Unlock()
}

func (b *balancer) room(p *pipe) {
	if m := p.member.Load(); m != nil {
		m.room()
		return
	}
	b.mu.Lock()
	b.ring.Activate(p)
	b.chooseLocked()
	if b.sure != nil {
		b.sure.resumeLocked()
	}
	b.wakeLocked()
	b.mu.Unlock()
}

func (b *balancer) stopSending(err error) {
	if b.spooler != nil {
		b.spooler.stopped.Store(true)
	}
	b.mu.Lock()
	b.err = err
	b.chooseLocked()
	b.wait.wakeAll()
	b.mu.Unlock()
}

// chooseLocked lets Send queue messages at the only peer without b.mu. That is decided under the lock of the peer's queue, so that nothing
// is queued any more once the peer or the socket is leaving.
func (b *balancer) chooseLocked() {
	if b.sure != nil {
		b.recall()
		return
	}
	var sole *pipe
	if b.err == nil && b.spooler == nil && b.ring.Len() == 1 {
		sole, _ = b.ring.Next()
	}
	old := b.sole.Swap(sole)
	if old == sole {
		return
	}
	if old != nil {
		old.out.Open(false)
	}
	if sole != nil {
		sole.out.Open(true)
	}
}

// Send sends one message of the given frames to the next peer that has room. It copies them, so they
// may be reused at once. While no peer has room it blocks, until ctx ends (ErrNoPeer or ErrFull,
// and ErrTimeout when ctx's deadline passed) or the socket is closed (ErrClosed). A context that
// has ended already makes Send a try. Nil means that the message is queued for one peer.
func (b *balancer) Send(ctx context.Context, frames ...[]byte) error {
	return b.send(ctx, frames, nil)
}

// send sends frames, which are copied, or those given away: see pipe.queue.
func (b *balancer) send(ctx context.Context, frames, given [][]byte) error {
	size, err := b.admit(frames, given)
	if err != nil {
		return err
	}
	if b.spooler != nil {
		return b.spooler.send(ctx, either(frames, given), size)
	}
	if p := b.sole.Load(); p != nil && given == nil {
		if p.out.AppendRow(frames, size) {
			return nil
		}
		if took, flush := b.sendSole(p, frames, size); took {
			if flush {
				p.out.Flush()
			}
			return nil
		}
	}
	if b.sure != nil {
		return b.sendSure(ctx, frames, given, size)
	}
	for {
		p, flush, err := b.try(frames, given, size, nil)
		if p != nil {
			if flush {
				p.out.Flush()
			}
			return nil
		}
		if err == nil {
			err = b.block(ctx)
		}
		if err != nil {
			return &Error{Op: "send", Err: err}
		}
	}
}

func (b *balancer) admit(frames, given [][]byte) (size int, err error) {
	if err := b.c.usable(); err != nil {
		return 0, &Error{Op: "send", Err: err}
	}
	return b.c.sizeOf(either(frames, given))
}

// try queues a message of frames, or of those given away, of size bytes at the next peer that has room; head, if given, returns the frames that go before it for
// that peer. With flush the caller flushes the peer's queue. With neither a peer nor an error it leaves b.mu held, for block.
func (b *balancer) try(frames, given [][]byte, size int, head func(*pipe) [][]byte) (to *pipe, flush bool, err error) {
	b.mu.Lock()
	if err := b.err; err != nil {
		b.mu.Unlock()
		return nil, false, err
	}
	e := extentOf(either(frames, given), size)
	for {
		p, ok := b.next("", e)
		if !ok {
			return nil, false, nil
		}
		if b.heeds {
			if err := p.refuses(e); err != nil {
				if b.elsewhere(e) {
					return nil, false, nil
				}
				b.mu.Unlock()
				return nil, false, err
			}
		}
		var envelope [][]byte
		if head != nil {
			envelope = head(p)
		}
		took, flush := p.queue(envelope, frames, given, size)
		if !took {
			b.ring.Deactivate(p)
			b.chooseLocked()
			continue
		}
		if b.wait.head != nil && b.ring.Active() > 0 {
			b.wait.wake()
		}
		b.mu.Unlock()
		return p, flush, nil
	}
}

// scanned is how many peers WithLeastOutstanding looks at for one message: enough to find an idle one among those that a
// service has, few enough to bound what a message costs.
const scanned = 32

// next returns whose turn it is. b.mu is held.
func (b *balancer) next(_ string, e extent) (p *pipe, ok bool) {
	switch {
	case b.sure != nil && b.ring.Active() > 1:
		p, ok = b.ring.Least(scanned, (*pipe).outstanding)
	case b.c.cfg.leastOutstanding:
		p, ok = b.ring.Least(scanned, queued)
	default:
		p, ok = b.ring.Next()
	}
	if b.heeds && b.ring.Active() > 1 && p.refuses(e) != nil {
		p = b.fittingLocked(p, e)
	}
	return p, ok
}

// queued returns how many messages wait to be written to p.
func queued(p *pipe) int {
	msgs, _ := p.out.Depth()
	return msgs
}

// block waits for room. It is entered with b.mu held and leaves without.
func (b *balancer) block(ctx context.Context) error {
	why := ErrNoPeer
	if b.ring.Len() > 0 {
		why = ErrFull
	}
	if err := ctx.Err(); err != nil {
		b.mu.Unlock()
		return &blocked{why, err}
	}
	w := b.wait.add()
	b.mu.Unlock()
	b.c.listen()
	if err := b.wait.wait(ctx, &b.mu, w); err != nil {
		return &blocked{why, err}
	}
	return nil
}
