package socket

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
)

// patience is how long the read pump leaves reading to callers of Recv until it looks whether any of them has read meanwhile. Twice that
// bounds how late a PING, a CANCEL or the end of a connection is seen while the application is busy. It grows up to maxPatience while
// they go on reading: a look wakes a goroutine, and every 20 ms at each of a thousand connections that was a tenth of what their round trips cost.
const (
	patience    = 20 * time.Millisecond
	maxPatience = 50 * time.Millisecond
)

// direct reads the sole peer's connection on the caller's goroutine. It reports whether the caller should
// look for a message again; if not, it must wait to be woken.
func (r *receiver) direct(ctx context.Context) (again bool) {
	p := r.sole.Load()
	if p == nil {
		return false
	}
	in := p.in.Load()
	if !in.Baton.TryLock() {
		p.wish.Store(true)
		return false
	}
	p.reading.Store(true)
	defer func() {
		p.directs.Add(1)
		p.reading.Store(false)
		in.Baton.Unlock()
		if p.parked.Load() {
			p.kick()
		}
	}()
	r.mu.Lock()
	r.leases.wakeLocked()
	moved := r.ready() || r.err != nil || r.notice != nil || r.sole.Load() != p || p.in.Load() != in
	r.mu.Unlock()
	if moved {
		return true
	}
	if p.failed() != nil || p.hung.Load() {
		return false
	}
	b, err := r.fill(ctx, in)
	switch {
	case err == nil:
		p.own = true // nobody else is woken for what this caller takes
		p.take(b)
		p.own = false
		return b.Msgs > 0 || ctx.Err() == nil
	case errors.Is(err, transport.ErrWouldBlock):
		return false // ctx has ended
	case errors.Is(err, os.ErrDeadlineExceeded):
		if p.hung.Load() { // the pump sees to the end of it
			return false
		}
		p.clearInterrupt()
		return true
	}
	r.sole.CompareAndSwap(p, nil)
	p.fail(err)
	return false
}

// fill reads without waiting first: a context needs preparing only for a wait. The baton is held.
func (r *receiver) fill(ctx context.Context, in *link.In) (link.Batch, error) {
	if r.c.cfg.busyPoll == 0 && !r.c.cfg.ack && (ctx.Done() == nil || r.isArmed(ctx)) {
		return in.Fill(true)
	}
	b, err := r.poll(in)
	if !errors.Is(err, transport.ErrWouldBlock) || ctx.Err() != nil {
		return b, err
	}
	if r.c.cfg.ack {
		r.mu.Lock()
		r.pauseLocked()
		r.mu.Unlock()
	}
	r.arm(ctx)
	if ctx.Err() != nil {
		return b, err
	}
	return in.Fill(true)
}

// poll tries to read, for the time of WithBusyPoll. The end of a context and an interrupt are seen after it.
func (r *receiver) poll(in *link.In) (link.Batch, error) {
	b, err := in.Fill(false)
	if r.c.cfg.busyPoll == 0 {
		return b, err
	}
	for end := time.Now().Add(r.c.cfg.busyPoll); errors.Is(err, transport.ErrWouldBlock) && time.Now().Before(end); {
		b, err = in.Fill(false)
	}
	return b, err
}

// arm has the end of ctx interrupt whoever reads. It stays armed, since callers mostly come back with the same context, and
// an interrupt that nobody needs does no harm.
func (r *receiver) arm(ctx context.Context) {
	r.armMu.Lock()
	defer r.armMu.Unlock()
	if r.armed == ctx.Done() {
		return
	}
	if r.disarm != nil {
		r.disarm()
	}
	r.armed = ctx.Done()
	r.disarm = context.AfterFunc(ctx, func() {
		if p := r.sole.Load(); p != nil {
			p.in.Load().Interrupt()
		}
	})
}

// isArmed reports whether the end of ctx, which is to come, will interrupt whoever reads.
func (r *receiver) isArmed(ctx context.Context) bool {
	r.armMu.Lock()
	armed := r.armed == ctx.Done()
	r.armMu.Unlock()
	return armed && ctx.Err() == nil
}

// rouseLocked has all who wait or read in Recv look at the state of things again. r.mu is held.
func (r *receiver) rouseLocked() {
	r.wait.wakeAll()
	if p := r.sole.Load(); p != nil {
		p.in.Load().Interrupt()
		p.kick()
	}
}

// await returns when it is the pump's turn to read p: at once unless callers of Recv wish to read the sole peer
// themselves, then when none has for a while; never while the inbox stands at the high-water mark.
func (r *receiver) await(p *pipe) error {
	var timer *time.Timer
	for wait := patience; ; {
		seen := p.directs.Load()
		if err := p.failed(); err != nil {
			return err
		}
		if p.hung.Load() {
			return nil
		}
		if p.paused.Load() {
			p.stop()
			continue
		}
		if r.sole.Load() != p || !p.wish.Load() {
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		} else {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-p.turn:
			continue
		}
		reading := p.reading.Load()
		switch still := p.directs.Load() == seen; {
		case still && !reading:
			p.wish.Store(false)
		case wait < maxPatience && !r.c.cfg.ack: // what acknowledges our own messages is not to wait any longer
			wait = min(2*wait, maxPatience)
		case still:
			p.park()
		}
	}
}

// stop sleeps until the inbox has room again, or something else happened.
func (p *pipe) stop() {
	p.stopped.Store(true)
	if p.paused.Load() {
		<-p.turn
	}
	p.stopped.Store(false)
}

// resume lets the peer be read again, as its inbox has room. A pump that leaves reading to callers of Recv is not woken for that: with a high-water mark of one
// there is such a time after each message. receiver.mu is held.
func (p *pipe) resume() {
	p.paused.Store(false)
	if p.stopped.Load() {
		p.kick()
	}
}

// park sleeps until the caller of Recv that reads has left, or something else happened.
func (p *pipe) park() {
	p.parked.Store(true)
	if p.reading.Load() {
		<-p.turn
	}
	p.parked.Store(false)
}

// listen has the pump read at once, as a sender is about to wait for what the peer acknowledges: it may be the one who would be in Recv.
func (c *core) listen() {
	if c.recv == nil || !c.cfg.ack {
		return
	}
	if p := c.recv.sole.Load(); p != nil {
		p.wish.Store(false)
		p.kick()
	}
}
