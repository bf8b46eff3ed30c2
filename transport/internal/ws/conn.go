package ws

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	firstRaw   = 4 << 10  // the read buffer of a peer that says little, and of the HTTP upgrade
	largestRaw = 64 << 10 // that of a busy one; bodies beyond it bypass it
	chunkBytes = 64 << 10 // how much is encoded before it is written
	// closePatience is how long a close frame may wait for room. It waits only where the buffers are full and yet nobody writes,
	// so that many such peers are not to be feared; less would be lost on a busy machine before the write is even tried.
	closePatience = 250 * time.Millisecond
	// writePatience is how long Close waits for a Write that blocks: it is there for one that is about to return.
	writePatience = 5 * time.Millisecond
)

// Conn is a connection to one peer. The HTTP upgrade happens in the first Read or Write, under its deadlines, so that
// whoever accepts need not wait for it. A read deadline that passes leaves the conn usable, so does a write
// deadline that passes before anything was written; one that passes within a message does not, as in crypto/tls.
type Conn struct {
	nc     net.Conn
	cfg    Config
	client bool
	pongs  pongs

	opening sync.Mutex // held during the upgrade; guards the next field
	openErr error
	opened  atomic.Bool // the upgrade is over, well or not

	reading sync.Mutex // held by Read; guards the fields below
	dec     decoder
	raw     []byte // the peer's bytes that are still to be decoded are raw[r:w]
	r, w    int

	writing sync.Mutex // held by Write; guards the fields below
	enc     encoder
	failed  error // why nothing can be written any more
	said    bool  // the close frame was sent, or there is no use in it

	ended  atomic.Bool // CloseWrite was called
	closed atomic.Bool
	code   atomic.Uint32 // of the close frame, 0 for a normal end
}

// Client makes nc, which was dialled, a Conn.
func Client(nc net.Conn, cfg Config) *Conn { return newConn(nc, cfg, true) }

// Server makes nc, which was accepted, a Conn.
func Server(nc net.Conn, cfg Config) *Conn { return newConn(nc, cfg, false) }

func newConn(nc net.Conn, cfg Config, client bool) *Conn {
	cfg.Mechanism = cmp.Or(cfg.Mechanism, null)
	return &Conn{nc: nc, cfg: cfg, client: client}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Pings reports that PING may be sent though the greeting says ZMTP 3.0.
func (c *Conn) Pings() bool { return true }

// Read returns ZMTP: the peer's greeting, then its frames. It returns io.EOF after the peer's close frame.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.open(); err != nil {
		return 0, err
	}
	for {
		if c.closed.Load() {
			return 0, c.closedError("read")
		}
		n, used, err := c.dec.step(p, c.raw[c.r:c.w])
		c.r += used
		if err != nil {
			c.complain(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if c.dec.state == passing && c.dec.left >= int64(len(c.raw)) {
			return c.readBody(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// readBody reads a large body without the detour through raw, which is empty.
func (c *Conn) readBody(p []byte) (int, error) {
	n, err := c.nc.Read(p[:c.dec.room(len(p))])
	c.dec.passed(p[:n])
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// fill reads into raw, which grows once a read has filled it.
func (c *Conn) fill() error {
	if c.r == c.w {
		if c.w == len(c.raw) && len(c.raw) < largestRaw {
			c.raw = make([]byte, min(max(firstRaw, 4*len(c.raw)), largestRaw))
		}
		c.r, c.w = 0, 0
	}
	n, err := c.nc.Read(c.raw[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// complain chooses the code of our close frame by what the peer did wrong (RFC 6455, 7.4.1).
func (c *Conn) complain(err error) {
	code := ws.StatusProtocolError
	switch {
	case errors.Is(err, io.EOF):
		return
	case errors.Is(err, errText):
		code = ws.StatusUnsupportedData
	case errors.Is(err, ErrTooLarge):
		code = ws.StatusMessageTooBig
	}
	c.code.CompareAndSwap(0, uint32(code))
}

// Write takes ZMTP, cut anywhere: our greeting, which goes nowhere, then frames. All of p that is small goes out in one
// call. n counts what went out in whole parts: a message of which less is counted did not reach the peer.
func (c *Conn) Write(p []byte) (n int, err error) {
	n, err = c.write(p)
	if c.ended.Load() { // while we held the lock that it needs
		_ = c.CloseWrite()
	}
	return n, err
}

func (c *Conn) write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.open(); err != nil {
		return 0, err
	}
	if err := c.writeError(); err != nil {
		return 0, err
	}
	chunk := chunks.Get().(*[]byte)
	for n < len(p) && err == nil {
		var k int
		k, err = c.writeSome(chunk, p[n:])
		n += k
	}
	chunks.Put(chunk)
	if err != nil && c.closed.Load() {
		err = c.closedError("write") // and not that its deadline passed, which Close set
		c.failed = err               // there is no room for a close frame either
	}
	return n, err
}

// chunks are shared, so that an idle conn has none.
var chunks = sync.Pool{New: func() any { b := make([]byte, 0, chunkBytes+passBytes); return &b }}

// writeSome encodes as much of p as fits a chunk and writes it.
func (c *Conn) writeSome(chunk *[]byte, p []byte) (n int, err error) {
	c.pongs.take(&c.enc.pong)
	before := c.enc
	buf := c.enc.begin((*chunk)[:0])
	for n < len(p) && len(buf) < chunkBytes {
		var k int
		if buf, k, err = c.enc.next(buf, p[n:]); err != nil {
			c.failed = err
			return 0, err
		}
		n += k
	}
	*chunk = buf[:0]
	if len(buf) == 0 {
		return n, nil
	}
	written, err := c.nc.Write(buf)
	switch {
	case err == nil:
		return n, nil
	case written == 0:
		c.enc = before
		return 0, err
	}
	c.failed = err
	return before.replay(p[:n], written), err
}

func (c *Conn) writeError() error {
	switch {
	case c.closed.Load():
		return c.closedError("write")
	case c.ended.Load():
		return &net.OpError{Op: "write", Net: "ws", Addr: c.nc.RemoteAddr(), Err: errEnded}
	}
	return c.failed
}

var errEnded = errors.New("the writing side is closed")

func (c *Conn) closedError(op string) error {
	return &net.OpError{Op: op, Net: "ws", Addr: c.nc.RemoteAddr(), Err: net.ErrClosed}
}

// CloseWrite tells the peer that nothing follows: what it still sends can be read, up to its own close frame. It does
// not wait: behind a Write that blocks the close frame comes last.
func (c *Conn) CloseWrite() error {
	c.ended.Store(true)
	if c.writing.TryLock() {
		defer c.writing.Unlock()
		c.sayClose()
	}
	return nil
}

// sayClose sends the close frame. Where that is not possible at once the end of the stream has to do.
func (c *Conn) sayClose() {
	if c.said || !c.opened.Load() || c.openErr != nil || c.failed != nil {
		return
	}
	c.said = true
	code := ws.StatusNormalClosure
	if set := c.code.Load(); set != 0 {
		code = ws.StatusCode(set)
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(closePatience))
	frame := appendControl(nil, ws.OpClose, ws.NewCloseFrameBody(code, ""), c.client)
	if c.enc.left == 0 {
		if _, c.failed = c.nc.Write(frame); c.failed == nil {
			return
		}
	}
	if half, ok := bare(c.nc).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// bare returns the connection below TLS, which could block where it says goodbye. The close frame has done so already.
func bare(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

// Close sends a close frame if that is possible at once, behind a Write that is about to return, and closes the connection.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.opened.Load() { // before, there is nobody to tell, and a Write may be waiting for the upgrade
		if !c.writing.TryLock() {
			_ = c.nc.SetWriteDeadline(time.Now().Add(writePatience)) // ends a Write that blocks
			c.writing.Lock()
		}
		defer c.writing.Unlock()
		c.sayClose()
	}
	return bare(c.nc).Close() // wakes whoever reads or writes
}

// LocalAddr and RemoteAddr are those of the connection below.
func (c *Conn) LocalAddr() net.Addr  { return c.nc.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

func (c *Conn) SetDeadline(t time.Time) error      { return c.nc.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.nc.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }
