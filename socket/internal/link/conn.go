package link

import (
	"errors"
	"net"
	"time"

	"github.com/meshmq/meshmq/transport"
)

// Conn is a connection as the two ends use it. One goroutine at a time reads and one writes.
type Conn struct {
	net.Conn
	try    nonblocking
	gather gathering
	give   giving
	wait   waiting
	ready  waitings
}

// nonblocking reads and writes only as far as it can at once: transport.ErrWouldBlock is not an
// error of the connection.
type nonblocking interface {
	TryRead(p []byte) (int, error)
	TryWrite(p []byte) (int, error)
}

// gathering is nonblocking for several buffers: one call, and one packet, for what would be several.
type gathering interface {
	TryWriteAll(parts [][]byte) (int, error)
	AwaitRoom(most time.Duration) bool // waits until something can be written, and reports whether that is so
}

// waiting reads like the connection, but with a call that the scheduler is not told of: see read.
type waiting interface {
	Read(p []byte) (int, error)
	ReadLate(l lender) (int, error) // Read into a buffer that is asked for when there is something to read
}

// NewConn prepares c. Connections that offer no way to try are served by the pumps alone.
func NewConn(c net.Conn) *Conn {
	give, _ := c.(giving)
	try, ok := c.(nonblocking)
	if !ok {
		try = newNonblocking(c)
	}
	gather, _ := try.(gathering)
	wait, _ := try.(waiting)
	ready, _ := try.(waitings)
	return &Conn{c, try, gather, give, wait, ready}
}

// Read is that of the connection, by the quickest way there is.
func (c *Conn) Read(p []byte) (int, error) {
	if c.wait != nil {
		return c.wait.Read(p)
	}
	return c.Conn.Read(p)
}

// gatherBytes bounds what is gathered: of more, the first part is read while the others are written.
const gatherBytes = chunkSize

// tryWrite writes parts as far as it can without blocking.
func (c *Conn) tryWrite(parts [][]byte) (written int, err error) {
	if len(parts) > 1 && c.gather != nil && total(parts) <= gatherBytes {
		return c.gather.TryWriteAll(parts)
	}
	return c.join(parts, c.try.TryWrite)
}

func total(parts [][]byte) (n int) {
	for _, b := range parts {
		n += len(b)
	}
	return n
}

// CloseWrite tells the peer that nothing follows. Where that is not possible without closing all, the error is
// errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// UnackedUnknown is what Unacked returns on systems that do not tell.
const UnackedUnknown = -1

// Unacked returns how many bytes the peer's system has not taken yet, after CloseWrite; none where TCP is not concerned: there the peer can read what
// was written also when it is no longer there who wrote.
func (c *Conn) Unacked() int {
	for nc := c.Conn; ; {
		switch over := nc.(type) {
		case *net.TCPConn:
			n := unacked(over)
			if n > 0 {
				n-- // the end of the stream counts as one
			}
			return n
		case interface{ NetConn() net.Conn }:
			nc = over.NetConn()
		default:
			return 0
		}
	}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// giveUp follows an error of writing. What the peer sent before it went can still be read, and then the end; a peer that is there after all
// sees that nothing follows. Without that only Close is left to get to an end.
func (c *Conn) giveUp() {
	if errors.Is(c.CloseWrite(), errors.ErrUnsupported) {
		c.Close()
	}
}

// Pings reports whether PING may be sent whatever version the peer speaks: the connection has a form of it of its own.
func (c *Conn) Pings() bool {
	own, ok := c.Conn.(interface{ Pings() bool })
	return ok && own.Pings()
}

// past is a deadline that has struck whenever it is set.
var past = time.Unix(1, 0)

func wouldBlock(err error) bool { return errors.Is(err, transport.ErrWouldBlock) }
