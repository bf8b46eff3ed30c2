package socket

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/meshmq/meshmq/transport"
)

// BindListener is Bind for a listener that is there already: passed down by a service manager (socket activation), or of a network or
// a kind of its own, such as one that speaks TLS. The result is the name that Unbind takes. The socket owns the listener
// from then on, and closes it in Unbind and Close; that must wake its Accept. When BindListener fails it leaves the listener as it is.
// Connections must be such as Attach wants them. libzmq: ZMQ_USE_FD.
func (c *core) BindListener(l net.Listener) (string, error) {
	if err := c.usable(); err != nil {
		return "", &Error{Op: "bind", Err: err}
	}
	if l == nil {
		return "", &Error{Op: "bind", Err: errors.New("the listener is nil")}
	}
	return c.listenOn(transport.Adopt(l))
}

// listenOn accepts what comes in on l from now on.
func (c *core) listenOn(l transport.Listener) (string, error) {
	endpoint := l.Endpoint()
	c.mu.Lock()
	switch {
	case c.ending:
		c.mu.Unlock()
		return "", &Error{Op: "bind", Endpoint: endpoint, Err: ErrClosed}
	case c.listeners[endpoint] != nil:
		c.mu.Unlock()
		return "", &Error{Op: "bind", Endpoint: endpoint, Err: errors.New("a listener of this name is bound here already")}
	}
	ls := newListener(c, l)
	c.listeners[endpoint] = ls
	c.wg.Add(1)
	c.mu.Unlock()
	c.hub.emit(Event{Kind: Listening, Endpoint: endpoint})
	go ls.run()
	return endpoint, nil
}

// Attach makes the socket speak with the peer at the other end of conn, where another socket attaches its end, or any program speaks ZMTP.
// It returns at once; the handshake follows and shows in events. Conn must allow reads and writes at the same time, and
// SetReadDeadline must wake a Read that blocks and leave conn usable, as with those of package net, net.Pipe and crypto/tls.
// With a method CloseWrite the end of the conversation is told apart from a loss.
//
// The socket owns conn from then on. When it ends the peer is gone: nobody dials again, and what is queued for it is
// dropped, as for an accepted peer. Accept filters and WithMaxPeers do not apply.
func (c *core) Attach(conn net.Conn) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "attach", Err: err}
	}
	if conn == nil {
		return &Error{Op: "attach", Err: errors.New("the connection is nil")}
	}
	endpoint := transport.AddrEndpoint(conn.RemoteAddr())
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		return &Error{Op: "attach", Endpoint: endpoint, Err: ErrClosed}
	}
	c.wg.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.wg.Done()
		c.serve(c.ctx, conn, newPipe(c, endpoint, nil))
	}()
	return nil
}

// addressOf returns the peer's address, empty if the connection knows none.
func addressOf(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// overlapped is a connection whose Write does not wait for the peer to read, for the length of a handshake. Without it two
// sides that both write first would wait for each other where there is no buffer between them, as in net.Pipe.
type overlapped struct {
	net.Conn
	last chan error // receives the result of the last Write
}

// meet is shake on any connection. Those that can be closed in halves have a buffer.
func meet(nc net.Conn, h *answering, deadline time.Time) (early []byte, err error) {
	if _, ok := nc.(interface{ CloseWrite() error }); ok {
		return shake(nc, h, deadline)
	}
	o := &overlapped{Conn: nc}
	early, err = shake(o, h, deadline)
	if err != nil && nc.SetWriteDeadline(time.Now().Add(lastWord)) != nil {
		nc.Close()
	}
	if unwritten := o.flush(); err == nil {
		err = unwritten
	}
	return early, err
}

// lastWord is how long a peer that we refuse has to read why.
const lastWord = 100 * time.Millisecond

func (o *overlapped) Write(p []byte) (int, error) {
	if err := o.flush(); err != nil {
		return 0, err
	}
	o.last = make(chan error, 1)
	p = slices.Clone(p)
	go func() { // ends with the write, which Close ends; flush waits for it
		_, err := o.Conn.Write(p)
		o.last <- err
	}()
	return len(p), nil
}

// flush returns when nothing is being written.
func (o *overlapped) flush() error {
	if o.last == nil {
		return nil
	}
	err := <-o.last
	o.last = nil
	return err
}
