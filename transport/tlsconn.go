package transport

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPlaintext = 16 << 10               // of one record (RFC 8446, 5.1)
	tlsPiece     = 4*maxPlaintext + 2<<10 // what goes out in one call: as much as links write at a time
	tlsPieceRoom = tlsPiece + 1<<10       // the records of it, with headers, nonces and tags
	// farewell is how long close_notify may wait for room: hardly, since there may be many conns to close, and the end of the
	// stream tells the peer almost as much.
	farewell = 10 * time.Millisecond
)

// tlsConn is a connection of tls+tcp. The handshake happens in the first Read or Write, under its deadlines, so that
// whoever accepts need not wait for it.
type tlsConn struct {
	tls    *tls.Conn
	below  *gather
	opened atomic.Bool // the handshake is over, and well

	writing sync.Mutex // held by Write; guards the fields below
	failed  error      // why nothing can be written any more
	said    bool       // close_notify was sent, or there is no use in it

	ended  atomic.Bool // CloseWrite was called
	closed atomic.Bool
}

// NetConn returns the connection below.
func (c *tlsConn) NetConn() net.Conn { return c.below.Conn }

// Handshake is what the first Read or Write would do. It happens once; crypto/tls remembers how it ended.
func (c *tlsConn) Handshake() error {
	if c.opened.Load() {
		return nil
	}
	if err := c.tls.Handshake(); err != nil {
		if c.closed.Load() {
			return c.opError("tls handshake", net.ErrClosed)
		}
		c.answerPlain(err)
		return explainOpen(err)
	}
	c.opened.Store(true)
	return nil
}

// answerPlain tells a peer that speaks no TLS what is spoken here: handshake_failure (RFC 8446, 6.2), by which peers of ours know TLS.
func (c *tlsConn) answerPlain(err error) {
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		_, _ = c.below.Write([]byte{21, 3, 3, 0, 2, 2, 40})
	}
}

// Read returns io.EOF after the peer's close_notify only: a connection that merely ends may have been cut by anybody.
func (c *tlsConn) Read(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	n, err := c.tls.Read(p)
	if err != nil && n == 0 {
		err = explain(err)
	}
	return n, err
}

// Write takes any bytes. n counts what went out in whole records: what is not counted did not reach the peer.
func (c *tlsConn) Write(p []byte) (n int, err error) {
	n, err = c.write(p)
	if c.ended.Load() { // while we held the lock that it needs
		_ = c.CloseWrite()
	}
	return n, err
}

func (c *tlsConn) write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	switch {
	case c.closed.Load():
		return 0, c.opError("write", net.ErrClosed)
	case c.ended.Load():
		return 0, c.opError("write", errEnded)
	}
	for n < len(p) && c.failed == nil {
		n += c.writePiece(p[n:min(n+tlsPiece, len(p))])
	}
	switch {
	case c.failed == nil:
		return n, nil
	case c.closed.Load():
		return n, c.opError("write", net.ErrClosed) // and not that its deadline passed, which Close set
	}
	return n, c.failed
}

// writePiece writes at most tlsPiece bytes in one call to the connection below.
func (c *tlsConn) writePiece(p []byte) int {
	c.below.begin()
	_, err := c.tls.Write(p)
	records, sent, flushErr := c.below.flush()
	if flushErr == nil {
		flushErr = err
	}
	if flushErr == nil {
		return len(p)
	}
	c.failed = flushErr
	// A record that answers the peer's KeyUpdate may be among them. Counting too few of ours is the lesser evil: what is sent
	// again arrives twice, what is not is lost.
	others := max(0, records-(len(p)+maxPlaintext-1)/maxPlaintext)
	return min(len(p), max(0, sent-others)*maxPlaintext)
}

// CloseWrite tells the peer that nothing follows: what it still sends can be read, up to its own close_notify. It does not
// wait: behind a Write that blocks close_notify comes last.
func (c *tlsConn) CloseWrite() error {
	c.ended.Store(true)
	if c.writing.TryLock() {
		defer c.writing.Unlock()
		c.sayClose()
	}
	return nil
}

// sayClose sends close_notify. Where that is not possible at once the end of the stream has to do.
func (c *tlsConn) sayClose() {
	if c.said || !c.opened.Load() {
		return
	}
	c.said = true
	c.below.hasty.Store(true)
	if c.failed == nil && c.tls.CloseWrite() == nil {
		return
	}
	if half, ok := c.below.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Close sends close_notify if that is possible at once, behind a Write that is about to return, and closes the connection.
func (c *tlsConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.opened.Load() { // before, there is nobody to tell, and a Write may be waiting for the handshake
		c.below.hasty.Store(true)
		_ = c.below.SetWriteDeadline(time.Now().Add(farewell)) // ends a Write that blocks
		c.writing.Lock()
		defer c.writing.Unlock()
		c.sayClose()
	}
	return c.below.Close() // wakes whoever reads or writes
}

var errEnded = errors.New("the writing side is closed")

func (c *tlsConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tls+tcp", Addr: c.below.RemoteAddr(), Err: err}
}

// ConnectionState is for TLSState.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// LocalAddr and RemoteAddr are those of the connection below.
func (c *tlsConn) LocalAddr() net.Addr  { return c.below.LocalAddr() }
func (c *tlsConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

func (c *tlsConn) SetDeadline(t time.Time) error      { return c.tls.SetDeadline(t) }
func (c *tlsConn) SetReadDeadline(t time.Time) error  { return c.tls.SetReadDeadline(t) }
func (c *tlsConn) SetWriteDeadline(t time.Time) error { return c.tls.SetWriteDeadline(t) }

// gather is the connection below TLS. It makes one write of all the records of a piece, where crypto/tls makes one of each.
type gather struct {
	net.Conn
	hasty atomic.Bool // we are leaving: writes may take no longer than farewell

	mu  sync.Mutex // held while writing, so that records stay in order; guards the next field
	buf *[]byte    // what is gathered; nil while nothing is
}

// pieces are shared, so that an idle conn has none.
var pieces = sync.Pool{New: func() any { b := make([]byte, 0, tlsPieceRoom); return &b }}

func (g *gather) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = pieces.Get().(*[]byte)
}

func (g *gather) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf != nil {
		*g.buf = append(*g.buf, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

// flush writes what was gathered, and says how many records that was and how many of them went out whole.
func (g *gather) flush() (records, sent int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := g.Conn.Write(*g.buf)
	if err != nil {
		records, sent = wholeRecords(*g.buf, len(*g.buf)), wholeRecords(*g.buf, n)
	}
	*g.buf = (*g.buf)[:0]
	pieces.Put(g.buf)
	g.buf = nil
	return records, sent, err
}

// wholeRecords counts the records that lie in the first n bytes of b.
//
//	+------+---------+--------+----------+
//	| type | version | length | fragment |   RFC 8446, 5.1
//	+------+---------+--------+----------+
//	 1      2         2        length
func wholeRecords(b []byte, n int) (records int) {
	for end := 0; end+5 <= n; records++ {
		end += 5 + int(binary.BigEndian.Uint16(b[end+3:]))
		if end > n {
			break
		}
	}
	return records
}

// SetWriteDeadline keeps crypto/tls from waiting for seconds where Close says goodbye.
func (g *gather) SetWriteDeadline(t time.Time) error {
	if soon := time.Now().Add(farewell); g.hasty.Load() && (t.IsZero() || t.After(soon)) {
		t = soon
	}
	return g.Conn.SetWriteDeadline(t)
}
