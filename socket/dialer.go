package socket

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// dialer keeps one connection to an endpoint given to Connect. Its pipe outlives the connections, and
// where the pattern has queues so does what is queued.
type dialer struct {
	c        *core
	ep       transport.Endpoint
	endpoint string // as given to Connect
	pipe     *pipe
	way      uint64 // by which peers know its connections: see ways
	ctx      context.Context
	cancel   context.CancelFunc
	dialed   bool          // the last attempt came as far as the handshake; used by run alone
	leaving  atomic.Bool   // Disconnect was called
	idle     atomic.Bool   // it gave up; written under c.mu
	resumed  chan struct{} // a signal that Connect was called while idle
}

// newDialer is called with c.mu held.
func newDialer(c *core, ep transport.Endpoint, endpoint, id string) (*dialer, error) {
	d := &dialer{c: c, ep: ep, endpoint: endpoint, way: max(1, rand.Uint64()), resumed: make(chan struct{}, 1)}
	d.ctx, d.cancel = context.WithCancel(c.ctx)
	d.pipe = newPipe(c, endpoint, d)
	d.pipe.id, d.pipe.named = id, id != ""
	c.limitLocked(d.pipe) // before anybody waits for it
	if d.pipe.queues() {
		if err := c.pat.enroll(d.pipe); err != nil {
			delete(c.pipes, d.pipe)
			d.cancel()
			return nil, err
		}
	}
	return d, nil
}

func (d *dialer) run() {
	defer d.c.wg.Done()
	defer d.remove()
	var o outage
	for {
		start := time.Now()
		connected, err := d.try()
		if d.ctx.Err() != nil {
			return
		}
		if d.stops(connected, err) {
			if !d.giveUp(err) {
				return
			}
			o = outage{}
			continue
		}
		now := time.Now()
		if connected && d.lasted(now.Sub(start)) {
			o = outage{}
		}
		bound := o.bound(d.c.cfg.reconnectMin, d.c.cfg.reconnectMax, now)
		o.attempt(d.dialed, now)
		var pause time.Duration
		if !d.pipe.renewed.Swap(false) {
			pause = reconnectPause(bound, d.c.cfg.reconnectMax, isProtocol(err), rand.Float64())
		}
		d.c.hub.emit(Event{Kind: Retrying, Endpoint: d.endpoint, Err: err, RetryIn: pause})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-d.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// lasted reports whether a connection that lived so long says that the next pause may be short again: one that ended sooner may be the first of many that will.
// It takes longer where the peer may have ended it in favour of another of our identity, which would end that one in turn.
func (d *dialer) lasted(lived time.Duration) bool {
	if len(d.c.cfg.identity) > 0 {
		return lived > d.c.cfg.reconnectMax
	}
	return lived > d.c.cfg.reconnectMin
}

// try makes one attempt and serves the connection while it lasts.
func (d *dialer) try() (connected bool, err error) {
	ctx := d.ctx
	if d.c.cfg.connectTimeout > 0 && d.ep.Scheme() != "inproc" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.c.cfg.connectTimeout)
		defer cancel()
	}
	d.dialed = false
	conn, err := d.c.cfg.transport().Dial(ctx, d.ep)
	if err != nil {
		return false, err
	}
	d.dialed = true
	if d.ctx.Err() != nil {
		conn.Close()
		return false, d.ctx.Err()
	}
	return d.c.serve(d.ctx, conn, d.pipe)
}

// outage is what a dialer knows of a peer that it has lost, or not reached yet.
type outage struct {
	began    time.Time // when the first attempt failed, or the connection ended
	attempts int
	met      int // of those, how many came to a connection that did not last
}

// attempt notes an attempt that came to nothing at the time given. met says that somebody was there.
func (o *outage) attempt(met bool, now time.Time) {
	if o.attempts == 0 {
		o.began = now
	}
	o.attempts++
	if met {
		o.met++
	}
}

// outageShare is the part of an outage that its pauses may add to it: too little to be noticed by whoever waits for a peer to be restarted.
const outageShare = 10

// bound is that of the pause before the next attempt; what has just failed is not noted yet. It grows from lo to hi with the time for which nobody has been there, whom attempts could keep
// from work. With each attempt in a row that came to a connection it doubles, as that cost the peer something.
func (o *outage) bound(lo, hi time.Duration, now time.Time) time.Duration {
	if o.met == o.attempts { // somebody was there each time, or nothing was tried yet
		return doubled(lo, hi, o.met)
	}
	return min(hi, max(doubled(lo, hi, o.met), doubled(lo, hi, 1), now.Sub(o.began)/outageShare))
}

// reconnectPause is the pause before another attempt: evenly drawn (by random, in [0,1)) below bound. RFC 37, 4.1: increasing, randomised delays. After a protocol error, an ERROR
// command among them, it is the longer half of the longest one: the peer will hardly be another one a moment later. RFC 37 would have us not come back with the
// same credentials; but who mends the other end should not have to restart this one too.
func reconnectPause(bound, longest time.Duration, protocol bool, random float64) time.Duration {
	if protocol {
		return time.Duration((1 + random) / 2 * float64(longest))
	}
	return time.Duration(random * float64(bound))
}

// retryPause is the pause before a message is tried for the n+1st time after a failure: evenly drawn (by random, in [0,1)) below a bound that doubles
// from min to max.
func retryPause(min, max time.Duration, n int, random float64) time.Duration {
	return time.Duration(random * float64(doubled(min, max, n)))
}

// doubled is min doubled n times, max at most.
func doubled(min, max time.Duration, n int) time.Duration {
	if n < 32 && min<<n > 0 && min<<n < max {
		return min << n
	}
	return max
}

// isProtocol reports whether an attempt ended with what hardly mends itself. Being told to try later is not that, nor is silence, which may mean so.
func isProtocol(err error) bool {
	if h, ok := errors.AsType[*zmtp.HandshakeError](err); ok {
		return h.Reason != zmtp.Deferred && h.Reason != zmtp.Unanswered
	}
	return errors.Is(err, transport.ErrTLS)
}

// remove drops what is queued for an endpoint that is connected to no more.
func (d *dialer) remove() {
	d.c.drop(d.pipe, d.pipe.lossReason(), d.pipe.out.Drop())
	signal(d.pipe.empty)
	d.c.mu.Lock()
	d.c.removeLocked(d.pipe)
	d.c.mu.Unlock()
}
