package socket

import (
	"net"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// oldConn is a connection to a ZMTP 1.0 peer that reads and writes like one to a peer of today. It has no way to try, so
// the pumps alone serve it.
type oldConn struct {
	net.Conn

	// Who reads uses these.
	up     zmtp.Upgrader
	raw    []byte // read from the connection
	turned []byte // what it became
	in     []byte // the part of that which Read has not returned
	bad    error  // what is wrong behind it

	// Who writes uses these.
	down zmtp.Downgrader
	out  []byte
}

// oldChunk is how much of a stream is turned at a time: enough for few system calls, little enough to be held for each peer.
const oldChunk = 16 << 10

// newOldConn makes an oldConn of a connection from which early was read already, behind the handshake.
func newOldConn(nc net.Conn, early []byte) *oldConn {
	c := &oldConn{Conn: nc}
	c.in, c.bad = c.up.Append(nil, early)
	return c
}

// NetConn returns the connection below.
func (c *oldConn) NetConn() net.Conn { return c.Conn }

// Read returns at least one octet or an error.
func (c *oldConn) Read(p []byte) (int, error) {
	for len(c.in) == 0 {
		if c.bad != nil {
			return 0, c.bad
		}
		if c.raw == nil {
			c.raw = make([]byte, oldChunk)
		}
		n, err := c.Conn.Read(c.raw)
		if n == 0 && err != nil {
			return 0, err
		}
		c.turned, c.bad = c.up.Append(c.turned[:0], c.raw[:n])
		c.in = c.turned
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

// Write writes all of p or returns an error and how much of p was written for certain.
func (c *oldConn) Write(p []byte) (written int, err error) {
	for written < len(p) {
		piece := p[written:min(len(p), written+oldChunk)]
		before := c.down
		if c.out, err = c.down.Append(c.out[:0], piece); err != nil {
			return written, err
		}
		if n, err := c.Conn.Write(c.out); err != nil {
			return written + goneBy(before, piece, n), err
		}
		written += len(piece)
	}
	return written, nil
}

// goneBy returns how many octets of piece were written when n octets of what they became were.
func goneBy(d zmtp.Downgrader, piece []byte, n int) (octets int) {
	var out []byte
	for octets < len(piece) {
		out, _ = d.Append(out, piece[octets:octets+1])
		if len(out) > n {
			break
		}
		octets++
	}
	return octets
}

// CloseWrite tells the peer that nothing follows, where the transport can.
func (c *oldConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
