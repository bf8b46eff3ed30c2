package socket

import (
	"errors"
	"net"
	"time"

	"github.com/meshmq/meshmq/transport"
)

// listener accepts connections on one endpoint. Each gets a goroutine at once, so that none waits
// for the handshake of another.
type listener struct {
	c    *core
	l    transport.Listener
	done chan struct{} // closed when run has ended
}

func newListener(c *core, l transport.Listener) *listener {
	return &listener{c: c, l: l, done: make(chan struct{})}
}

// acceptPause is the longest pause after a failed accept: want of file descriptors passes when
// connections end, and retrying at once would take the processor from those that could end.
const acceptPause = time.Second

func (l *listener) run() {
	defer l.c.wg.Done()
	defer close(l.done)
	pause := 5 * time.Millisecond
	for {
		conn, err := l.l.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			l.accept(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		l.c.hub.emit(Event{Kind: AcceptFailed, Endpoint: l.l.Endpoint(), Err: err, RetryIn: pause})
		select {
		case <-time.After(pause):
			pause = min(2*pause, acceptPause)
		case <-l.c.ctx.Done():
			return
		}
	}
}

func (l *listener) accept(conn net.Conn) {
	c := l.c
	if !c.begin() {
		conn.Close()
		return
	}
	c.door.come(&newcomer{conn: conn, at: l, let: func(g, gone *guest, err error) { l.let(conn, g, gone, err) }})
}

// let serves a connection that has a place at the door, or closes the one that was refused.
func (l *listener) let(conn net.Conn, g, gone *guest, err error) {
	c := l.c
	if err != nil {
		conn.Close()
		c.report(Event{Kind: HandshakeFailed, Endpoint: l.l.Endpoint(), Peer: &Peer{address: addressOf(conn), endpoint: l.l.Endpoint()}, Err: err})
		c.wg.Done()
		return
	}
	if gone != nil {
		gone.conn.Close() // its own goroutine reports it
	}
	c.hub.emit(Event{Kind: Accepted, Endpoint: l.l.Endpoint(), Peer: &Peer{address: addressOf(conn), endpoint: l.l.Endpoint()}})
	go func() {
		defer c.wg.Done()
		defer c.door.leave(g)
		if c.admit(conn, l.l.Endpoint()) {
			p := newPipe(c, l.l.Endpoint(), nil)
			p.guest = g
			c.serve(c.ctx, conn, p)
		}
	}()
}

// begin has Close wait for the connection that is about to be served, unless none is to come in any more.
func (c *core) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.complete {
		c.wg.Add(1)
	}
	return !c.complete
}

// stop releases the address and returns when no more connections come in.
func (l *listener) stop() {
	l.l.Close()
	<-l.done
	l.c.door.dismiss(l)
	l.c.hub.emit(Event{Kind: Unbound, Endpoint: l.l.Endpoint()})
}
