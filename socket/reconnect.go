package socket

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// StopCondition says when to seek a connection no longer, see WithReconnectStop.
type StopCondition uint8

// The conditions, as ZMQ_RECONNECT_STOP has them.
const (
	// StopOnRefused: the address is there and nobody listens on it (ZMQ_RECONNECT_STOP_CONN_REFUSED).
	StopOnRefused StopCondition = 1 << iota
	// StopOnHandshakeFailed: a connection was made and its handshake failed, or the peer sent an ERROR later, such as that
	// another one took over our identity (ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED).
	StopOnHandshakeFailed
	// StopAfterDisconnect: Disconnect was called. Without it a connection is still sought for the linger period while
	// messages wait for it (ZMQ_RECONNECT_STOP_AFTER_DISCONNECT).
	StopAfterDisconnect

	allStops = StopOnRefused | StopOnHandshakeFailed | StopAfterDisconnect
)

// String returns the conditions in words.
func (s StopCondition) String() string {
	var words []string
	for i, word := range []string{"refused", "handshake failed", "after disconnect"} {
		if s&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	if s&^allStops != 0 {
		words = append(words, "?")
	}
	if len(words) == 0 {
		return "never"
	}
	return strings.Join(words, ", ")
}

// WithReconnectStop has Connect seek a connection no longer once one of the conditions came true (ZMQ_RECONNECT_STOP). That is an
// event, GaveUp. The endpoint stays in Stats and keeps what is queued, takes no more, and another Connect to it starts anew. Default: none,
// every failure is followed by another attempt.
func WithReconnectStop(conditions ...StopCondition) Option {
	return func(c *config) error {
		var all StopCondition
		for _, s := range conditions {
			all |= s
		}
		if all == 0 || all&^allStops != 0 {
			return bad("WithReconnectStop", all, "want StopOnRefused, StopOnHandshakeFailed or StopAfterDisconnect")
		}
		c.reconnectStop = all
		return nil
	}
}

// WithoutReconnect makes each Connect one attempt and one connection: when the attempt fails or the connection ends, none
// follows (ZMQ_RECONNECT_IVL of -1). That is an event, GaveUp; what follows is as with WithReconnectStop.
func WithoutReconnect() Option {
	return func(c *config) error { c.reconnectNever = true; return nil }
}

// checkReconnect returns what contradicts WithoutReconnect.
func (c *config) checkReconnect() error {
	switch {
	case c.reconnectNever && c.reconnectSet:
		return fmt.Errorf("%w: WithoutReconnect and WithReconnect: there is no pause before an attempt that is not made", ErrOption)
	case c.reconnectNever && c.reconnectStop&^StopAfterDisconnect != 0:
		return fmt.Errorf("%w: WithoutReconnect and WithReconnectStop(%s): the former stops at every failure", ErrOption, c.reconnectStop)
	}
	return nil
}

var errGaveUp = errors.New("the connection they wait for was given up")

// stops reports whether no attempt is to follow the one that ended with err, before or after it had connected.
func (d *dialer) stops(connected bool, err error) bool {
	cfg := &d.c.cfg
	switch {
	case d.leaving.Load() && cfg.reconnectStop&StopAfterDisconnect != 0:
		d.cancel()
		return true
	case d.pipe.renewed.Load(): // we ended it to have another
		return false
	case cfg.reconnectNever:
		return true
	case cfg.reconnectStop&StopOnRefused != 0 && !d.dialed && isRefused(err):
		return true
	}
	return cfg.reconnectStop&StopOnHandshakeFailed != 0 && d.dialed && (!connected || isPeerError(err))
}

// isPeerError reports whether the peer sent an ERROR.
func isPeerError(err error) bool {
	var h *zmtp.HandshakeError
	return errors.As(err, &h) && h.Reason == zmtp.PeerError
}

// refusedOnWindows is what Windows says; syscall.ECONNREFUSED is a number of Go's own there.
const refusedOnWindows = syscall.Errno(10061)

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, refusedOnWindows)
}

// giveUp lets go of the endpoint until Connect is called again. It reports false when the end came instead.
func (d *dialer) giveUp(err error) bool {
	c := d.c
	if d.pipe.queues() && d.ctx.Err() == nil {
		c.pat.forget(d.pipe)
	}
	c.mu.Lock()
	d.idle.Store(true)
	c.mu.Unlock()
	signal(c.drained) // who waits for the queue to become empty waits in vain
	c.hub.emit(Event{Kind: GaveUp, Endpoint: d.endpoint, Err: err})
	select {
	case <-d.resumed:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// again is what another Connect to the endpoint does. c.mu is held.
func (d *dialer) again(id string) error {
	p := d.pipe
	switch {
	case id != "" && (!p.named || p.id != id):
		return &Error{Op: "connect", Endpoint: d.endpoint, Err: fmt.Errorf("%w: connected here already, by another name or none: Disconnect first", ErrState)}
	case !d.idle.Load() && id != "":
		return &Error{Op: "connect", Endpoint: d.endpoint, Err: errTaken(id)}
	case !d.idle.Load():
		return nil
	}
	if p.queues() {
		if err := d.c.pat.enroll(p); err != nil {
			return &Error{Op: "connect", Endpoint: d.endpoint, Err: err}
		}
	}
	d.idle.Store(false)
	signal(d.resumed)
	return nil
}

// quit is called by Disconnect. What is queued waits for the linger period only if there is a connection, or one is sought.
func (d *dialer) quit() {
	d.leaving.Store(true)
	if d.idle.Load() || !d.pipe.live.Load() && d.c.cfg.reconnectStop&StopAfterDisconnect != 0 {
		d.cancel()
	}
}
