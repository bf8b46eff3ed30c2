package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Proxy passes messages between two sockets, both ways where both can (zmq_proxy): XSUB and XPUB make a forwarder,
// ROUTER and DEALER a queue, PULL and PUSH a streamer. Each way has its own goroutine and takes one message at a time: while the
// other side has no room for it nothing more is taken, so that the peers on this side are held back, and the other way goes on.
//
// Nothing that was taken from a socket is lost by Pause, Terminate or the end of a context: a message that could not be sent by
// then stays in hand, and the next Run or Drain sends it before anything else. What was not taken stays in the socket. Messages that
// the other side will never take are dropped and counted: see ProxyStats.
//
// On acknowledged links (WithAck, WithManualAck as well) a message is acknowledged to where it came from when the socket on the other side has accepted it,
// so that a proxy that dies loses what that one has in memory, nothing if it has a spool (WithSpool). While the spool has no room the proxy waits, with spool.Reject too, and one that has failed ends Run. What the other side will never take is rejected, and what a ROUTER
// has nobody for is refused, to be sent again.
//
// The sockets stay the caller's, who binds, connects and closes them. All methods may be called by any number of goroutines.
type Proxy struct {
	cfg  proxyConfig
	ways []*way // one or two
	bad  error  // what NewProxy was given wrong
	gate atomic.Pointer[gate]

	mu         sync.Mutex // guards the fields below; way.taking is taken under it
	running    bool       // Run or Drain
	paused     bool
	terminated bool
	run        context.Context         // of Run, nil while it does not run
	stop       context.CancelCauseFunc // ends run
}

// gate is passed by each Recv of a running proxy. Pause shuts it for good and Resume puts up another.
type gate struct {
	ctx   context.Context // ends when the gate is shut, or with Run
	shut  context.CancelFunc
	again chan struct{} // closed when another gate is up
}

// ProxyEnd is what a Proxy passes messages between: a socket of any type that has
//
//	Recv(ctx context.Context) (Msg, error)
//	Send(ctx context.Context, frames ...[]byte) error
//
// or one of the two. The types without multipart messages, which have another Send, are refused. REQ and REP sockets hold one request at a time and are refused: DEALER and ROUTER take their place.
type ProxyEnd interface {
	Type() string
}

type proxyReceiver interface {
	Recv(ctx context.Context) (Msg, error)
}

type proxySender interface {
	Send(ctx context.Context, frames ...[]byte) error
}

var errTerminated = errors.New("terminated")

// NewProxy returns a proxy that does nothing before Run. It has no front or back: the names tell the sides apart. frontend and backend
// may be the same socket, whose messages are then sent by itself. Sockets that do not fit together, and options with
// impossible values, make every call to Run and Drain fail with ErrOption.
func NewProxy(frontend, backend ProxyEnd, opts ...ProxyOption) *Proxy {
	p := &Proxy{cfg: defaultProxyConfig()}
	for _, opt := range opts {
		if err := opt(&p.cfg); err != nil && p.bad == nil {
			p.bad = err
		}
	}
	if p.bad == nil {
		p.bad = p.cfg.check(frontend, backend)
	}
	p.gate.Store(shutGate())
	if p.bad != nil {
		return p
	}
	p.add(frontend, backend, false)
	if !same(frontend, backend) {
		p.add(backend, frontend, true)
	}
	if len(p.ways) == 0 {
		p.bad = fmt.Errorf("%w: NewProxy: nothing can flow between a %s and a %s socket", ErrOption, frontend.Type(), backend.Type())
	}
	return p
}

// add adds the way from one end to the other, if there is one.
func (p *Proxy) add(from, to ProxyEnd, back bool) {
	src, receives := from.(proxyReceiver)
	dst, sends := to.(proxySender)
	if receives && sends {
		p.ways = append(p.ways, &way{p: p, src: src, dst: dst, back: back, routed: to.Type() == "ROUTER", ours: isOurs(from) && isOurs(to) && isOurs(p.cfg.capturing), stuck: map[string]struct{}{}})
	}
}

func shutGate() *gate {
	g := &gate{again: make(chan struct{})}
	g.ctx, g.shut = context.WithCancel(context.Background())
	g.shut()
	return g
}

// Run passes messages until ctx ends, Terminate is called or a socket is closed. It returns nil after Terminate, the context's error
// (also ErrTimeout when its deadline passed), or ErrClosed; what a closed socket had received is passed on first. It may be called
// again, but not while it runs or Drain does, which is ErrState. A closed socket that is only sent to is noticed with
// the next message for it, which stays in hand, and so is one whose spool has failed (spool.ErrFailed).
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return p.verdict(ctx, err)
	}
	defer p.end()
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p.start(run, stop)
	p.each(func(w *way) error {
		err := w.run(run)
		if w.held.Frames == nil || !errors.Is(err, ErrClosed) {
			stop(err)
		} // else dst is closed; the way back passes on what it had received, and stops
		return err
	})
	if cause := context.Cause(run); cause != nil {
		return p.verdict(ctx, cause)
	}
	return p.verdict(ctx, p.ways[0].err)
}

// Drain passes on what the sockets have received, until there is nothing left to take without waiting, or ctx ends, which is an
// error as from Run. It is for the end: after a Run whose context has ended, or after Terminate. Pause does not hold it back.
func (p *Proxy) Drain(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return p.verdict(ctx, err)
	}
	defer p.end()
	p.each(func(w *way) error { return w.drain(ctx) })
	for _, w := range p.ways {
		if w.err != nil {
			return p.verdict(ctx, w.err)
		}
	}
	return nil
}

// each works all ways at once and waits for them.
func (p *Proxy) each(work func(*way) error) {
	var wg sync.WaitGroup
	for _, w := range p.ways {
		wg.Go(func() { w.err = work(w) }) // ends with the context in work
	}
	wg.Wait()
}

// begin takes the right to touch the sockets, which end gives back.
func (p *Proxy) begin() error {
	if p.bad != nil {
		return p.bad
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return fmt.Errorf("%w: Run or Drain is under way", ErrState)
	}
	p.running = true
	return nil
}

// start opens the gate for Run.
func (p *Proxy) start(run context.Context, stop context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.stop = run, stop
	if p.terminated {
		stop(errTerminated)
	}
	p.openLocked()
}

// openLocked puts up another gate, shut if the proxy is paused.
func (p *Proxy) openLocked() {
	g := &gate{again: make(chan struct{})}
	g.ctx, g.shut = context.WithCancel(p.run)
	if p.paused {
		g.shut()
	}
	close(p.gate.Swap(g).again)
}

func (p *Proxy) end() {
	p.mu.Lock()
	p.running, p.run, p.stop = false, nil, nil
	p.mu.Unlock()
}

// verdict returns what is reported for the cause that ended Run or Drain with ctx.
func (p *Proxy) verdict(ctx context.Context, cause error) error {
	switch {
	case cause == nil, errors.Is(cause, errTerminated):
		return nil
	case ctx.Err() != nil && errors.Is(cause, context.Cause(ctx)):
		return &Error{Op: "proxy", Err: &blocked{nil, ctx.Err()}}
	}
	return &Error{Op: "proxy", Err: cause}
}

// Pause stops the proxy from taking messages until Resume (PAUSE of zmq_proxy_steerable). When it returns nothing more is taken; the
// message that each way has in hand is still sent as soon as there is room. Peers are held back when the receive high-water
// mark is reached. It may be called before Run.
func (p *Proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	p.gate.Load().shut()
	for _, w := range p.ways {
		w.settle()
	}
}

// Resume ends Pause (RESUME of zmq_proxy_steerable).
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused {
		return
	}
	p.paused = false
	if p.run != nil {
		p.openLocked()
	}
}

// Terminate ends Run, now or when it is called next, for good (TERMINATE of zmq_proxy_steerable). It does not wait for Run to return.
func (p *Proxy) Terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.terminated = true
	if p.stop != nil {
		p.stop(errTerminated)
	}
}
