package socket

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// pattern is what a socket type adds to core. The calls come from the goroutines of connections and are
// made without locks, but for enroll, which Connect calls under core.mu.
type pattern interface {
	enroll(p *pipe) error                  // p is an endpoint to connect to, with a queue already
	reserve(p *pipe) error                 // p is in its handshake; an error refuses the peer before it counts on us
	identify(p *pipe, who zmtp.Peer) error // p has said who it is; an error refuses the peer
	release(p *pipe)                       // its handshake failed
	attach(p *pipe) error                  // p has a connection now; an error refuses the peer
	detach(p *pipe)                        // its connection ended
	forget(p *pipe)                        // nothing more is to be sent to p
	room(p *pipe)                          // its queue, once full, is half empty
	deliver(p *pipe, b link.Batch)         // messages arrived; p.in's baton is held
	command(p *pipe, name, data []byte)    // a command of the pattern arrived, such as SUBSCRIBE; others are ignored
	stopSending(err error)                 // Send returns err from now on
	stopReceiving(err error)               // Recv returns err once the inbox is empty
}

// core is what all socket types share: endpoints, connections and their life. Its methods may be called
// by any number of goroutines at the same time.
type core struct {
	typ      zmtp.SocketType
	cfg      config
	pat      pattern
	recv     *receiver // nil for types that receive nothing
	queueing bool      // an endpoint has a queue before it is connected
	raw      bool      // peers speak no ZMTP
	keeper   keeper    // of messages until they are acknowledged, nil for none
	sure     *assured  // the keeper in memory, nil for none
	sent     sentCounts
	bad      error // what the options did wrong
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup // every goroutine of the socket but the event handler's
	hub      hub
	denials  *denials      // nil without WithDenialLimit
	spooler  *spooler      // nil without WithSpool, and on publishers
	archive  *archive      // of publishers; nil without WithSpool
	missed   atomic.Uint64 // messages of durable subscriptions
	drops    [dropReasons]atomic.Uint64
	refused  [refusals]atomic.Uint64
	door     door
	unlawful atomic.Uint64 // subscriptions that the authorizer refused
	untaken  atomic.Uint64 // bytes: see Stats.Untaken
	cutOff   atomic.Uint64 // of those, while closing
	drained  chan struct{} // a signal that some queue became empty, while shutting down
	hurried  context.Context
	hurry    context.CancelFunc // ends the wait for queues to become empty
	closed   chan struct{}      // closed when the socket is
	cause    error              // why that did not wait for all to be sent; set before closed is closed
	line     link.Line          // of the peers that are to be written to
	lives    lives
	ways     ways

	mu        sync.Mutex // guards the fields below
	ending    bool       // Shutdown or Close began
	complete  bool       // and no peer is to come in any more
	listeners map[string]*listener
	dialers   map[string]*dialer
	pipes     map[*pipe]struct{}
	connected int
	changed   chan struct{} // closed and replaced when connected changes
	hwm       *int          // of SetSendHWM, nil before
	everOut   [2]uint64     // messages and bytes queued for pipes that are no more
}

func (c *core) init(typ zmtp.SocketType, pat pattern, opts []Option) {
	c.typ, c.pat, c.cfg = typ, pat, defaultConfig()
	c.cfg.typ = typ
	c.cfg.trouble = func(err error) { c.hub.emit(Event{Kind: ReloadFailed, Err: err}) }
	c.cfg.notifyConnect, c.cfg.notifyDisconnect = c.raw, c.raw // as libzmq: ZMQ_STREAM_NOTIFY is on, ZMQ_ROUTER_NOTIFY off
	for _, opt := range opts {
		if err := opt(&c.cfg); err != nil && c.bad == nil {
			c.bad = err
		}
	}
	if c.bad == nil {
		c.bad = c.cfg.check()
	}
	c.cfg.widen()
	if c.cfg.denialLimit > 0 {
		c.denials = newDenials(c.cfg.denialLimit, c.cfg.denialPer)
	}
	c.line.Places, c.line.From = max(1, runtime.GOMAXPROCS(0)-1), lineFrom // one processor is for those who send
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.hurried, c.hurry = context.WithCancel(context.Background())
	c.drained = make(chan struct{}, 1)
	c.closed = make(chan struct{})
	c.listeners = map[string]*listener{}
	c.dialers = map[string]*dialer{}
	c.pipes = map[*pipe]struct{}{}
	c.changed = make(chan struct{})
	c.door.cfg = &c.cfg.limitConfig
	c.hub.init(c.cfg.onEvent)
}

// enroll and the other methods here are the defaults of pattern, for types with no use for the call.
func (c *core) enroll(*pipe) error              { return nil }
func (c *core) reserve(*pipe) error             { return nil }
func (c *core) identify(*pipe, zmtp.Peer) error { return nil }
func (c *core) release(*pipe)                   {}
func (c *core) attach(*pipe) error              { return nil }
func (c *core) detach(*pipe)                    {}
func (c *core) forget(*pipe)                    {}
func (c *core) room(*pipe)                      {}
func (c *core) command(*pipe, []byte, []byte)   {}
func (c *core) stopSending(error)               {}
func (c *core) stopReceiving(error)             {}
func (c *core) deliver(p *pipe, b link.Batch)   { c.drop(p, DropUnwanted, b.Msgs) }

// usable returns why the socket cannot be used, if it cannot.
func (c *core) usable() error {
	if c == nil || c.pat == nil {
		return errZeroSocket
	}
	return c.bad
}

var errZeroSocket = fmt.Errorf("%w: zero value: make sockets with NewPush, NewPull and so on", ErrState)

// Type returns the ZeroMQ socket type in upper case, such as "PUSH".
func (c *core) Type() string { return string(c.typ) }

// Bind listens on endpoint and returns the real address, with port 0 and wildcards resolved; that is
// the name Unbind takes. A socket can bind to any number of endpoints and connect to others as
// well. Malformed endpoints are ErrEndpoint.
func (c *core) Bind(endpoint string) (string, error) {
	if err := c.usable(); err != nil {
		return "", &Error{Op: "bind", Endpoint: endpoint, Err: err}
	}
	ep, err := transport.ParseBind(endpoint)
	if err != nil {
		return "", err
	}
	if c.ctx.Err() != nil {
		return "", &Error{Op: "bind", Endpoint: endpoint, Err: ErrClosed}
	}
	l, err := c.cfg.transport().Listen(c.ctx, ep)
	if err != nil {
		return "", err
	}
	real, err := c.listenOn(l)
	if err != nil {
		l.Close()
	}
	return real, err
}

// Unbind stops listening on an endpoint that Bind returned, and returns when the address is free.
// Connections made through it stay.
func (c *core) Unbind(endpoint string) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "unbind", Endpoint: endpoint, Err: err}
	}
	c.mu.Lock()
	l, ending := c.listeners[endpoint], c.ending
	delete(c.listeners, endpoint)
	c.mu.Unlock()
	if ending {
		return &Error{Op: "unbind", Endpoint: endpoint, Err: ErrClosed}
	}
	if l == nil {
		return &Error{Op: "unbind", Endpoint: endpoint, Err: fmt.Errorf("%w: not bound here; give the address that Bind returned", ErrEndpoint)}
	}
	l.stop()
	return nil
}

// Connect keeps a connection to endpoint from now on: it returns at once, connects in the background,
// and tries again with growing, random pauses whenever that fails or the connection ends, until
// Disconnect or Close. Names are resolved at each attempt. Only a malformed endpoint is an error, ErrEndpoint; everything else
// is an event. Connecting again to the same endpoint changes nothing, unless its connection was given up (GaveUp): then it is sought again.
func (c *core) Connect(endpoint string) error { return c.connectAs("", endpoint) }

// connectAs is Connect with a routing id for the peer, on sockets that route by id.
func (c *core) connectAs(id, endpoint string) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "connect", Endpoint: endpoint, Err: err}
	}
	ep, err := transport.ParseConnect(endpoint)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return &Error{Op: "connect", Endpoint: endpoint, Err: ErrClosed}
	}
	if d := c.dialers[endpoint]; d != nil {
		return d.again(id)
	}
	d, err := newDialer(c, ep, endpoint, id)
	if err != nil {
		return &Error{Op: "connect", Endpoint: endpoint, Err: err}
	}
	c.dialers[endpoint] = d
	c.wg.Add(1)
	go d.run()
	return nil
}

// Disconnect ends what Connect began. It returns at once: messages queued for the endpoint are still
// written for the linger period in the background, those left then are dropped and counted.
func (c *core) Disconnect(endpoint string) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "disconnect", Endpoint: endpoint, Err: err}
	}
	c.mu.Lock()
	d, ending := c.dialers[endpoint], c.ending
	if d != nil && !ending {
		delete(c.dialers, endpoint)
		c.wg.Add(1)
	}
	c.mu.Unlock()
	switch {
	case ending:
		return &Error{Op: "disconnect", Endpoint: endpoint, Err: ErrClosed}
	case d == nil:
		return &Error{Op: "disconnect", Endpoint: endpoint, Err: fmt.Errorf("%w: not connected here; give the endpoint that Connect was given", ErrEndpoint)}
	}
	c.pat.forget(d.pipe)
	d.quit()
	go d.pipe.leave(d.cancel)
	return nil
}

// Connected reports whether endpoint, as given to Connect, has a connection now, handshake done.
func (c *core) Connected(endpoint string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.dialers[endpoint]
	return d != nil && d.pipe.live.Load()
}

// WaitPeers blocks until at least n peers are connected, handshake done.
func (c *core) WaitPeers(ctx context.Context, n int) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "wait for peers", Err: err}
	}
	for {
		c.mu.Lock()
		have, changed := c.connected, c.changed
		c.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &Error{Op: "wait for peers", Err: &blocked{fmt.Errorf("%w: %d of %d connected", ErrNoPeer, have, n), ctx.Err()}}
		case <-c.closed:
			return &Error{Op: "wait for peers", Err: ErrClosed}
		}
	}
}

// isEnding reports whether Shutdown or Close has begun.
func (c *core) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// enter takes a pipe that has a connection into the books.
func (c *core) enter(p *pipe) {
	c.mu.Lock()
	owed := c.limitLocked(p)
	c.mu.Unlock()
	if owed {
		p.out.Room()
	}
}

// count changes the number of connected peers. Unless there is one more, p has lost its connection.
func (c *core) count(p *pipe, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected += by
	if by <= 0 && p.dialer == nil {
		c.removeLocked(p)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// removeLocked takes a pipe out of the books for good.
func (c *core) removeLocked(p *pipe) {
	if _, ok := c.pipes[p]; !ok {
		return
	}
	delete(c.pipes, p)
	msgs, bytes := p.out.Totals()
	c.everOut[0] += msgs
	c.everOut[1] += bytes
}

// uncount corrects the totals for messages that were queued twice. What it subtracts from is at another place, and the sum of all is
// right, since it wraps around as the parts do.
func (c *core) uncount(msgs, bytes int) {
	c.mu.Lock()
	c.everOut[0] -= uint64(msgs)
	c.everOut[1] -= uint64(bytes)
	c.mu.Unlock()
}

func (c *core) allPipes() []*pipe {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allPipesLocked()
}

func (c *core) allPipesLocked() []*pipe {
	all := make([]*pipe, 0, len(c.pipes))
	for p := range c.pipes {
		all = append(all, p)
	}
	return all
}

// drop counts and reports n messages dropped at p, which may be nil.
func (c *core) drop(p *pipe, reason DropReason, n int) {
	if n <= 0 {
		return
	}
	c.drops[reason].Add(uint64(n))
	if p != nil {
		p.dropped[reason].Add(uint64(n))
	}
	c.hub.drop(p, reason, uint64(n))
}

// Stats returns a snapshot of the socket's counters and peers.
func (c *core) Stats() Stats {
	if c.pat == nil {
		return Stats{}
	}
	s := Stats{Dropped: map[DropReason]uint64{}, Refused: map[Refusal]uint64{}}
	for refusal := range c.refused {
		if n := c.refused[refusal].Load(); n > 0 {
			s.Refused[Refusal(refusal)] = n
		}
	}
	for reason := range c.drops {
		if n := c.drops[reason].Load(); n > 0 {
			s.Dropped[DropReason(reason)] = n
		}
	}
	c.sent.fill(&s.Acks)
	s.Forbidden = c.unlawful.Load()
	s.Missed = c.missed.Load()
	s.Untaken = c.untaken.Load()
	c.mu.Lock()
	s.MessagesOut, s.BytesOut = c.everOut[0], c.everOut[1]
	pipes := c.allPipesLocked() // at the same time, as a pipe goes from the one to the other
	s.Endpoints = slices.Sorted(maps.Keys(c.listeners))
	c.mu.Unlock()
	for _, p := range pipes {
		ps := p.stats()
		s.MessagesOut += ps.MessagesOut
		s.BytesOut += ps.BytesOut
		s.Peers = append(s.Peers, ps)
	}
	if c.sure != nil {
		for i := range s.Peers {
			s.Acks.UnackedOut += s.Peers[i].Unacked
		}
		s.Acks.UnackedOut += c.sure.left()
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int { return comparePeers(a, b) })
	if c.spooler != nil {
		c.spooler.stats(&s)
	}
	if c.archive != nil {
		c.archive.stats(&s)
	}
	if c.recv != nil {
		s.MessagesIn, s.BytesIn = c.recv.totals()
		c.recv.ackStats(&s.Acks)
		if q := c.recv.once; q != nil {
			s.Window = &WindowStats{Recovery: recoveryOf(q.window)}
		}
	}
	return s
}
