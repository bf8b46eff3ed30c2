package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

var errSilent = errors.New("peer is silent: no traffic and no answer to PING")

// serve runs one connection from its handshake to its end, on the caller's goroutine, and closes it. With ctx ends
// the handshake; who ends it later finds the connection among the pipes.
func (c *core) serve(ctx context.Context, nc net.Conn, p *pipe) (connected bool, err error) {
	defer nc.Close()
	who, err := c.greet(ctx, nc, p)
	if err != nil {
		return false, err
	}
	if ctx.Err() != nil { // it ended before the pipe was to be found
		p.hangUp(false)
	}
	err = p.read()
	p.detach(-1)
	c.report(Event{Kind: Disconnected, Endpoint: p.endpoint, Peer: who, Err: err})
	return true, err
}

// greet is welcome, on a goroutine of its own where there are many peers: a handshake needs a larger stack than what follows, and of ten thousand peers most are idle. Of few the stacks are small beside what
// another goroutine takes of the time of a connection that is short.
func (c *core) greet(ctx context.Context, nc net.Conn, p *pipe) (who *Peer, err error) {
	if !c.line.Long() {
		return c.welcome(ctx, nc, p)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		who, err = c.welcome(ctx, nc, p)
	}()
	<-done
	return who, err
}

// welcome does the handshake and attaches the connection to p.
func (c *core) welcome(ctx context.Context, nc net.Conn, p *pipe) (who *Peer, err error) {
	conn, early, who, err := c.meet(ctx, nc, p)
	err = c.door.pass(p.guest, err)
	if err != nil {
		c.pat.release(p)
		if ctx.Err() == nil {
			c.report(Event{Kind: HandshakeFailed, Endpoint: p.endpoint, Peer: who, Err: err})
		}
		return who, err
	}
	err = p.attach(conn, who, early)
	who = p.peer.Load() // Router has added the routing id
	if err != nil {
		p.detach(0)
		c.report(Event{Kind: HandshakeFailed, Endpoint: p.endpoint, Peer: who, Err: err})
		return who, err
	}
	c.count(p, 1)
	c.hub.emit(Event{Kind: Connected, Endpoint: p.endpoint, Peer: who})
	return who, nil
}

// attach makes the connection the pipe's.
func (p *pipe) attach(conn *link.Conn, who *Peer, early []byte) error {
	in := link.NewIn(conn, early, p.c.maxMessage())
	in.MaxFrames, in.MaxFrame = p.c.cfg.wireFrames, p.c.cfg.maxFrameSize
	in.Command = p.command
	if who.ackIn {
		in.Passing = passing
	}
	p.mu.Lock()
	p.conn, p.cause, p.parting, p.untaken, p.gone = conn, nil, nil, nil, make(chan struct{})
	p.attached++
	p.since = time.Now()
	p.mu.Unlock()
	p.hung.Store(false)
	p.in.Store(in)
	p.peer.Store(who)
	p.out.First = p.c.greeting(who)
	if p.c.keeper != nil {
		p.c.keeper.retain(p)
	}
	p.out.Attach(conn)
	defer p.out.Start() // with what the pattern has to say first
	p.live.Store(true)
	p.c.enter(p) // before anybody can receive from it, and ask for it
	p.beat()
	if err := p.c.lives.enter(p); err != nil {
		return err
	}
	if p.c.ways.enter(p); errors.Is(p.failed(), errAnew) { // the next one has come already
		return errAnew
	}
	if err := p.c.pat.attach(p); err != nil {
		return err
	}
	if who.major == 1 { // RFC 13: its subscribers say nothing and filter themselves
		p.c.pat.command(p, []byte(zmtp.CommandSubscribe), nil)
	}
	return nil
}

// requestID is the size of the id that goes with a request and its reply, unseen by the applications.
const requestID = 4

// largestMessage is the limit where none is set: what can be added up without overflow.
const largestMessage = min(1<<48, math.MaxInt/2)

func (c *core) maxMessage() int {
	size := c.cfg.maxMessageSize
	if c.raw || size == 0 || size > largestMessage {
		size = largestMessage
	}
	if c.typ == zmtp.Req || c.typ == zmtp.Rep {
		size += requestID
	}
	return size
}

// read is the read pump: it delivers what arrives until the connection ends. It returns why, nil for an
// orderly end.
func (p *pipe) read() error {
	in := p.in.Load()
	p.late = 0
	for {
		if err := p.await(); err != nil {
			return p.reason(err)
		}
		in.Baton.Lock()
		b, err := in.Fill(true)
		interrupted := errors.Is(err, os.ErrDeadlineExceeded)
		if interrupted && p.hung.Load() {
			interrupted = false
			b, err = p.lookAgain(in)
		}
		if err == nil {
			p.take(b)
		}
		if interrupted {
			p.clearInterrupt() // with the baton: it must not undo the interrupt of whoever reads next
		}
		in.Baton.Unlock()
		if err != nil && !interrupted {
			return p.reason(err)
		}
		if err == nil && p.hung.Load() && !p.readOn(b.Bytes) {
			return p.reason(os.ErrDeadlineExceeded)
		}
	}
}

// take delivers what was read.
func (p *pipe) take(b link.Batch) {
	if p.c.cfg.publishAuthorizer != nil {
		p.sift(&b)
	}
	if b.Msgs > 0 {
		p.out.Spoke()
		p.c.pat.deliver(p, b)
	}
}

// clearInterrupt undoes link.In.Interrupt. Whoever was interrupted looks at the state of things after it, and
// whoever interrupts changes the state first, so that no interrupt is lost.
func (p *pipe) clearInterrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && !p.hung.Load() {
		_ = p.conn.SetReadDeadline(time.Time{})
	}
}

// await returns when it is the pump's turn to read.
func (p *pipe) await() error {
	if r := p.c.recv; r != nil {
		return r.await(p)
	}
	return p.failed()
}

// reason turns the error that reading ended with into what is reported.
func (p *pipe) reason(err error) error {
	p.mu.Lock()
	if cause := cmp.Or(p.parting, p.cause); cause != nil {
		err = cause
	}
	if p.hung.Load() && timedOut(err) {
		p.abandonLocked(p.conn)
	}
	untaken := p.untaken
	p.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrClosed), p.hung.Load():
		return untaken
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("connection reset by peer: %w", err)
	}
	return err
}

// detach ends the connection: afterwards nobody reads from it or writes to it. The number of connected peers changes by what
// is given before those who wait for the end know of it.
func (p *pipe) detach(by int) {
	p.heart.Load().stop()
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	conn.Close()
	in := p.in.Load()
	in.Baton.Lock() // a caller of Recv that reads was woken by Close and has delivered what it has
	defer in.Baton.Unlock()
	p.live.Store(false)
	p.c.lives.leave(p)
	keep := p.queues() && p.dialer.ctx.Err() == nil
	lost := p.out.Detach(keep || p.c.cfg.reroute)
	p.c.pat.detach(p)
	p.c.ways.leave(p) // when what was open is back in line
	if !keep {
		lost += p.out.Drop() // by a Send that chose p before the pattern let go of it
	}
	if p.c.spooler != nil {
		lost = 0 // it has all that was not settled
	}
	if keep {
		p.c.drop(p, DropRefused, lost)
	} else {
		p.c.drop(p, p.lossReason(), lost)
	}
	conn.Forget()
	p.c.count(p, by)
	p.mu.Lock()
	p.conn = nil
	close(p.gone)
	p.mu.Unlock()
	signal(p.c.drained)
}

// lossReason is why messages are dropped that are still queued when p ends.
func (p *pipe) lossReason() DropReason {
	switch {
	case p.c.ctx.Err() != nil:
		return DropClosed
	case p.dialer != nil && p.dialer.ctx.Err() != nil:
		return DropDisconnected
	}
	return DropPeerGone
}
