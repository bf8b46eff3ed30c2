package transport

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// ErrWouldBlock is returned by TryRead and TryWrite of inproc conns where Read and Write would wait.
var ErrWouldBlock = errors.New("operation would block")

// inprocAddr is the name both ends of an inproc conn were met under.
type inprocAddr string

func (inprocAddr) Network() string  { return "inproc" }
func (a inprocAddr) String() string { return string(a) }

// pipeConn is one end of an inproc connection.
type pipeConn struct {
	in, out *stream
	name    inprocAddr
}

func newPipe(name string) (near, far *pipeConn) {
	a, b := newStream(), newStream()
	return &pipeConn{in: a, out: b, name: inprocAddr(name)}, &pipeConn{in: b, out: a, name: inprocAddr(name)}
}

// Read returns io.EOF after all that the peer wrote before it closed.
func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p, true)
	return n, c.wrap("read", err)
}

// TryRead is Read that never blocks: with nothing to read it returns ErrWouldBlock. Deadlines do not apply.
func (c *pipeConn) TryRead(p []byte) (int, error) {
	n, err := c.in.read(p, false)
	return n, c.wrap("read", err)
}

// Write returns once all of p is in the buffer; the bytes of two Writes do not mix.
func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// TryWrite writes as much of p as it can without blocking, which may be less than len(p): nil says only
// that something was written. It returns ErrWouldBlock if nothing could be. Deadlines do not apply.
func (c *pipeConn) TryWrite(p []byte) (int, error) {
	n, err := c.out.tryWrite(p)
	return n, c.wrap("write", err)
}

// Part is a piece of what is written to a connection within the process.
type Part struct {
	Bytes []byte
	Given bool // Bytes belong to the reader once they are written, and are not copied
}

// WriteParts writes parts in order and returns how many of their bytes were written: of a given part all or none. Without block it never waits; if it could write nothing it returns
// ErrWouldBlock, and deadlines do not apply.
func (c *pipeConn) WriteParts(parts []Part, block bool) (int, error) {
	n, err := c.out.writeParts(parts, block)
	return n, c.wrap("write", err)
}

// OnWanted has f called when the peer finds nothing to read while holds is set, which clears it: who holds something back had better write it. It is called by who reads, with no lock
// of the connection held, and is not to wait.
func (c *pipeConn) OnWanted(holds *atomic.Bool, f func()) {
	c.out.mu.Lock()
	c.out.holds, c.out.wanted = holds, f
	c.out.mu.Unlock()
}

// ReadBody is Read without a copy: it returns the next n bytes, for the caller to keep, if the peer gave just these away
// by WriteParts; with n zero, whatever it gave away. Else it returns nil once there is something for Read. Without block it returns ErrWouldBlock
// where it would wait.
func (c *pipeConn) ReadBody(n int, block bool) ([]byte, error) {
	b, err := c.in.readBody(n, block)
	return b, c.wrap("read", err)
}

// CloseWrite ends what the peer reads; reading from the peer goes on.
func (c *pipeConn) CloseWrite() error {
	c.out.closeWriter()
	return nil
}

// Close wakes all calls on this end. The peer can still read what was written, then gets io.EOF.
func (c *pipeConn) Close() error {
	c.out.closeWriter()
	c.in.closeReader()
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.name }
func (c *pipeConn) RemoteAddr() net.Addr { return c.name }

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reader, t)
	c.out.setDeadline(&c.out.writer, t)
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reader, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writer, t)
	return nil
}

// wrap gives errors the form that those of tcp and ipc have.
func (c *pipeConn) wrap(op string, err error) error {
	if err == nil || err == io.EOF || err == ErrWouldBlock {
		return err
	}
	return &net.OpError{Op: op, Net: "inproc", Addr: c.name, Err: err}
}
