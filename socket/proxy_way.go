package socket

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

// way is one direction of a Proxy. What is not marked otherwise belongs to the goroutine that Run or Drain starts for it.
type way struct {
	p      *Proxy
	src    proxyReceiver
	dst    proxySender
	back   bool       // from the backend to the frontend
	routed bool       // dst sends by routing id
	ours   bool       // nobody but us sees the messages, so that their memory can be given back
	taking sync.Mutex // held over Recv by Run

	held     Msg                 // taken, and not passed on yet; no frames when there is none
	captured bool                // held was copied to the capture socket
	stuck    map[string]struct{} // routing ids that took nothing for routeWait
	err      error               // why Run or Drain ended

	taken, takenBytes atomic.Uint64
	sent, sentBytes   atomic.Uint64
	unroutable        atomic.Uint64
	refused           atomic.Uint64
	uncaptured        atomic.Uint64
}

// maxStuck bounds the routing ids to be remembered. When there are more, each gets another chance.
const maxStuck = 1024

// lapsed is a context that makes each call a try.
var lapsed = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// run passes messages on until ctx ends or a socket is closed. It returns why.
func (w *way) run(ctx context.Context) error {
	for {
		if w.held.Frames == nil {
			if err := w.take(ctx); err != nil {
				return err
			}
		}
		if err := w.pass(ctx); err != nil {
			return err
		}
	}
}

// drain passes on what can be taken without waiting.
func (w *way) drain(ctx context.Context) error {
	for ctx.Err() == nil {
		if w.held.Frames == nil {
			m, err := w.src.Recv(lapsed)
			if errors.Is(err, ErrOption) {
				return err
			}
			if err != nil {
				return nil // nothing there, or closed and empty
			}
			w.hold(m)
		}
		if err := w.pass(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// take waits for a message, at the gate if need be.
func (w *way) take(ctx context.Context) error {
	for {
		g := w.p.gate.Load()
		m, err := w.recv(g)
		switch {
		case err == nil:
			w.hold(m)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case g.ctx.Err() == nil:
			return err
		}
		select {
		case <-g.again:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *way) recv(g *gate) (Msg, error) {
	w.taking.Lock()
	defer w.taking.Unlock()
	if err := g.ctx.Err(); err != nil {
		return Msg{}, err
	}
	return w.src.Recv(g.ctx)
}

// settle returns when Recv is not under way, which it is not for long: its context has ended.
func (w *way) settle() {
	w.taking.Lock()
	defer w.taking.Unlock()
}

func (w *way) hold(m Msg) {
	w.held, w.captured = m, false
	w.takenBytes.Add(uint64(m.Size())) // first, so that what is counted has its bytes counted
	w.taken.Add(1)
}

// pass sends what is in hand, or drops and counts what dst will never take. With an error the message stays in hand.
func (w *way) pass(ctx context.Context) error {
	if err := w.capture(ctx); err != nil {
		return err
	}
	err := w.send(ctx)
	switch {
	case err == nil:
		_ = w.held.Ack() // that its connection has ended means that it comes again
		w.sentBytes.Add(uint64(w.held.Size()))
		w.sent.Add(1)
	case errors.Is(err, ErrClosed), errors.Is(err, ErrOption), errors.Is(err, spool.ErrFailed):
		return err
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return context.Cause(ctx)
	case errors.Is(err, ErrNoPeer), errors.Is(err, ErrFull): // without a wait that ctx ended: a ROUTER's
		_ = w.held.Nack(Nack{Reason: err.Error()})
		w.unroutable.Add(1)
	default:
		_ = w.held.Nack(Reject(err.Error()))
		w.refused.Add(1)
	}
	if w.ours {
		w.held.Release()
	}
	w.held = Msg{}
	return nil
}

// isOurs reports whether s is a socket of this package itself, and not a type around one that may keep what it passes on. None is, too.
func isOurs(s ProxyEnd) bool {
	switch s.(type) {
	case nil, *Push, *Pull, *Dealer, *Router, *Pub, *Sub, *XPub, *XSub, *Pair:
		return true
	}
	return false
}

// capture copies what is in hand to the capture socket, once.
func (w *way) capture(ctx context.Context) error {
	to := w.p.cfg.capture
	if to == nil || w.captured {
		return nil
	}
	wait := lapsed
	if w.p.cfg.captureWait {
		wait = ctx
	}
	err := to.Send(wait, w.held.Frames...)
	if err != nil && w.p.cfg.captureWait && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	if err != nil {
		w.uncaptured.Add(1)
	}
	w.captured = true
	return nil
}

// send sends what is in hand. A ROUTER's peer that takes nothing holds up the others once, for routeWait: what comes for it after that is
// only tried, until it takes something again. The more such peers there are, the shorter is the wait for another, so that many
// together cannot hold up the rest for long.
func (w *way) send(ctx context.Context) error {
	frames := w.held.Frames
	if !w.routed || len(frames) == 0 {
		return w.sendInTime(ctx)
	}
	err := w.dst.Send(lapsed, frames...)
	if !errors.Is(err, ErrFull) {
		if len(w.stuck) > 0 {
			delete(w.stuck, string(frames[0]))
		}
		return err
	}
	id := string(frames[0])
	if _, stuck := w.stuck[id]; stuck {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, w.p.cfg.routeWait/time.Duration(1+len(w.stuck)))
	defer cancel()
	err = w.dst.Send(wait, frames...)
	if errors.Is(err, ErrFull) && ctx.Err() == nil {
		if len(w.stuck) == maxStuck {
			clear(w.stuck)
		}
		w.stuck[id] = struct{}{}
	}
	return err
}

// fullPause is how long a spool is left alone that rejects what it has no room for: short beside the time that it takes to send a segment on.
const fullPause = 50 * time.Millisecond

// sendInTime sends what is in hand once there is room.
func (w *way) sendInTime(ctx context.Context) error {
	for {
		err := w.dst.Send(ctx, w.held.Frames...)
		if !errors.Is(err, ErrFull) {
			return err
		}
		select {
		case <-time.After(fullPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
