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

var (
	errTooManyPeers = errors.New("refused: WithMaxPeers peers are connected")
	errHandshake    = errors.New("no handshake within WithHandshakeTimeout")
	errSilent       = errors.New("peer is silent: no traffic and no answer to PING")
)

// meshProperty tells peers of ours from others in READY. Its value is the version of what we do beyond ZMTP.
const meshProperty = "X-Mesh"

// serve runs one connection from its handshake to its end, on the caller's goroutine, and closes it. With ctx ends
// the handshake; who ends it later finds the connection among the pipes.
func (c *core) serve(ctx context.Context, nc net.Conn, p *pipe) (connected bool, err error) {
	defer nc.Close()
	peer, early, err := c.handshake(ctx, nc, p)
	if err != nil {
		c.pat.release(p)
		if ctx.Err() == nil {
			c.hub.emit(Event{Kind: HandshakeFailed, Endpoint: p.endpoint, Peer: &Peer{address: addressOf(nc), endpoint: p.endpoint}, Err: err})
		}
		return false, err
	}
	who := &Peer{
		identity: string(peer.Identity), address: addressOf(nc), endpoint: p.endpoint,
		socketType: string(peer.SocketType), major: peer.Major, minor: peer.Minor, metadata: peer.Metadata,
		credentials: credentialsOf(nc), mechanism: peer.Mechanism, publicKey: peer.PublicKey, userID: peer.UserID, granted: peer.Granted,
	}
	if peer.Major == 1 {
		nc, early = newOldConn(nc, early), nil
	}
	pumped, err := p.attach(c.link(nc), who, early)
	who = p.peer.Load() // Router has added the routing id
	if err == nil {
		c.count(p, 1)
		c.hub.emit(Event{Kind: Connected, Endpoint: p.endpoint, Peer: who})
		if ctx.Err() != nil { // it ended before the pipe was to be found
			p.hangUp()
		}
		err = p.read()
		p.detach(pumped)
		c.count(p, -1)
		c.hub.emit(Event{Kind: Disconnected, Endpoint: p.endpoint, Peer: who, Err: err})
		return true, err
	}
	p.detach(pumped)
	c.hub.emit(Event{Kind: HandshakeFailed, Endpoint: p.endpoint, Peer: who, Err: err})
	return false, err
}

func (c *core) link(nc net.Conn) *link.Conn {
	if c.raw {
		return link.NewRawConn(nc)
	}
	return link.NewConn(nc)
}

// handshake greets the peer and returns what it said of itself, and the bytes that came behind.
func (c *core) handshake(ctx context.Context, nc net.Conn, p *pipe) (peer zmtp.Peer, early []byte, err error) {
	if c.raw {
		return peer, nil, nil
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	props := zmtp.Metadata{{Name: meshProperty, Value: []byte("1")}}
	for name, value := range c.cfg.properties {
		props = append(props, zmtp.Property{Name: name, Value: []byte(value)})
	}
	var deadline time.Time
	if c.cfg.handshakeTimeout > 0 {
		deadline = time.Now().Add(c.cfg.handshakeTimeout)
	}
	h, err := zmtp.NewHandshake(zmtp.Config{
		SocketType: c.typ, Identity: c.cfg.identity, Properties: props,
		Downgrade: bare(nc),
		// With our READY the peer may send what is lost if we refuse it then.
		Admit:        func() error { return c.pat.reserve(p) },
		Identify:     func(who zmtp.Peer) (string, error) { return c.identified(p, who) },
		Authenticate: c.cfg.authenticate != nil,
		Patient:      p.dialer == nil && (!c.cfg.handover || c.cfg.authenticate != nil),
	})
	if err != nil {
		return peer, nil, err
	}
	_ = nc.SetDeadline(deadline)
	early, err = meet(nc, &answering{h, func(who zmtp.Credentials) Verdict {
		return c.authenticated(ctx, nc, p.endpoint, who, deadline)
	}}, deadline)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errHandshake
	}
	_ = nc.SetDeadline(time.Time{})
	return h.Peer(), early, err
}

// identified asks the pattern about a peer that has said who it is. One of ours is told why it is refused; others are hung up on
// without an ERROR, after which libzmq would never come back.
func (c *core) identified(p *pipe, who zmtp.Peer) (tell string, err error) {
	err = c.pat.identify(p, who)
	if _, ours := who.Metadata.Get(meshProperty); ours && err != nil {
		tell = err.Error()
	}
	return tell, err
}

// bare reports whether a connection carries octets as they are. Nothing else is where old peers come from, and others may not
// bear that a read is given up before they are open.
func bare(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	local := nc.LocalAddr()
	return local != nil && local.Network() == "inproc"
}

// holdBack is how long part of our greeting is held back for peers of ZMTP 1.0 and 2.0, which speak at once: longer than
// a way around the world, short enough to bear for a peer that waits for all of it.
const holdBack = 300 * time.Millisecond

// shake moves bytes between the connection and the handshake until that is done, or the deadline strikes.
func shake(nc net.Conn, h *answering, deadline time.Time) (early []byte, err error) {
	if _, err := nc.Write(h.Start()); err != nil {
		return nil, err
	}
	rest := time.Now().Add(holdBack)
	buf := make([]byte, 512) // a greeting and a READY
	for !h.Done() {
		until := deadline
		if h.HoldsBack() && (until.IsZero() || rest.Before(until)) {
			until = rest
		}
		_ = nc.SetReadDeadline(until)
		n, err := nc.Read(buf)
		var used int
		var out []byte
		switch {
		case n > 0:
			used, out, err = h.Step(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded) && until == rest:
			out, err = h.Rest(), nil
		case errors.Is(err, io.EOF) && h.Closed() != nil:
			err = h.Closed()
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("peer closed the connection during the handshake: %w", io.ErrUnexpectedEOF)
		}
		if len(out) > 0 {
			if _, werr := nc.Write(out); werr != nil && err == nil {
				err = werr
			}
		}
		if err != nil {
			return nil, err
		}
		early = buf[used:n]
	}
	return early, nil
}

// attach makes the connection the pipe's. pumped is closed when the write pump has ended.
func (p *pipe) attach(conn *link.Conn, who *Peer, early []byte) (pumped chan struct{}, err error) {
	in := link.NewIn(conn, early, p.c.maxMessage())
	in.Command = p.command
	p.mu.Lock()
	p.conn, p.cause, p.parting, p.gone = conn, nil, nil, make(chan struct{})
	p.attached++
	p.since = time.Now()
	p.mu.Unlock()
	p.hung.Store(false)
	p.in.Store(in)
	p.peer.Store(who)
	p.out.First = p.c.greeting(who)
	p.out.Attach(conn)
	p.live.Store(true)
	p.beat()
	pumped = make(chan struct{})
	go func() { // ends at p.out.Detach, in p.detach
		defer close(pumped)
		p.out.Pump()
	}()
	if err := p.c.pat.attach(p); err != nil {
		return pumped, err
	}
	if who.major == 1 { // RFC 13: its subscribers say nothing and filter themselves
		p.c.pat.command(p, []byte(zmtp.CommandSubscribe), nil)
	}
	return pumped, nil
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
		if errors.Is(err, os.ErrDeadlineExceeded) && p.hung.Load() {
			b, err = p.lookAgain(in)
		}
		if err == nil {
			p.take(b)
		}
		interrupted := errors.Is(err, os.ErrDeadlineExceeded) && !p.hung.Load()
		if interrupted {
			p.clearInterrupt() // with the baton: it must not undo the interrupt of whoever reads next
		}
		in.Baton.Unlock()
		if err != nil && !interrupted {
			return p.reason(err)
		}
		if err == nil && p.hung.Load() && !p.readOn(b.Bytes) {
			return nil
		}
	}
}

// take delivers what was read.
func (p *pipe) take(b link.Batch) {
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
	p.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrClosed), p.hung.Load():
		return nil
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("connection reset by peer: %w", err)
	}
	return err
}

// detach ends the connection: afterwards nobody reads from it or writes to it.
func (p *pipe) detach(pumped chan struct{}) {
	p.heart.Load().stop()
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	conn.Close()
	in := p.in.Load()
	in.Baton.Lock() // a caller of Recv that reads was woken by Close and has delivered what it has
	defer in.Baton.Unlock()
	p.live.Store(false)
	keep := p.queues() && p.dialer.ctx.Err() == nil
	lost := p.out.Detach(keep || p.c.cfg.reroute)
	<-pumped
	p.c.pat.detach(p)
	if !keep {
		lost += p.out.Drop() // by a Send that chose p before the pattern let go of it
	}
	p.c.drop(p, p.lossReason(), lost)
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
