package link

import (
	"fmt"
	"net"
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// sealed is a connection on which frames travel sealed (CURVE). What it is given to write it seals at that moment, so that what waits in a queue can go
// out on another connection, with other keys.
type sealed struct {
	net.Conn
	try     nonblocking // nil where there is no way to try
	largest int         // message

	// Who reads uses these.
	open *zmtp.Opener
	raw  []byte // the peer's octets that are still to be opened are raw[r:w]
	r, w int
	most int     // octets of the largest read into raw
	body *[]byte // what raw is cut from while a large frame is under way, to be given back; else nil
	base []byte  // what raw is again behind it, else nil
	paid int     // the most that was opened at a time: as large a frame gets room when it begins
	bad  error   // what is wrong behind what was opened

	// Who writes uses these. Positions count all octets of frames that were ever to be written.
	seal     *zmtp.Sealer
	buf      *[]byte // what the next is cut from, nil while nothing waits
	large    bool    // buf is for one large frame
	out      []byte  // sealed frames
	sent     int     // octets of out that are written
	first    uint64  // position of what out begins with
	taken    uint64  // position to which all is sealed, or held by seal
	reported uint64  // position to which the caller was told that all is written
}

const (
	// sealedChunk is how much is sealed for one write call: a chunk of a queue, with what sealing adds to messages of a hundred octets.
	sealedChunk = 128 << 10
	// sealedRoom is the buffer for that, with room for the last frame to be as large as a copied one can be.
	sealedRoom = sealedChunk + largeBody + 1<<10
	// maxRaw is the read buffer of a peer at full speed.
	maxRaw = 256 << 10
	// maxKept is the largest buffer to read into that stays with the connection: a frame of 1 MiB has room in it.
	maxKept = 1<<20 + 1<<10
)

var sealedBufs = sync.Pool{New: func() any { b := make([]byte, 0, sealedRoom); return &b }}

// NewSealedConn is NewConn for a connection on which all is sealed from now on. early was read from it already; largest bounds a message.
func NewSealedConn(nc net.Conn, seal *zmtp.Sealer, open *zmtp.Opener, early []byte, largest int) *Conn {
	below := NewConn(nc)
	s := &sealed{Conn: below, try: below.try, largest: largest, seal: seal, open: open}
	s.raw = append(make([]byte, 0, max(firstChunk, len(early))), early...)
	s.w, s.raw = len(early), s.raw[:cap(s.raw)]
	c := &Conn{Conn: s}
	if s.try != nil {
		c.try = s
	}
	return c
}

// NetConn returns the connection below.
func (s *sealed) NetConn() net.Conn { return s.Conn }

// CloseWrite and Pings are those of the connection below.
func (s *sealed) CloseWrite() error { return (&Conn{Conn: s.Conn}).CloseWrite() }
func (s *sealed) Pings() bool       { return (&Conn{Conn: s.Conn}).Pings() }

// Forget wipes the keys of a connection that nobody uses any more.
func (c *Conn) Forget() {
	if s, ok := c.Conn.(*sealed); ok {
		s.seal.Wipe()
		s.open.Wipe()
	}
}

// Read returns frames, cut anywhere.
func (s *sealed) Read(p []byte) (int, error) { return s.read(p, s.Conn.Read) }

// TryRead is Read that never blocks.
func (s *sealed) TryRead(p []byte) (int, error) { return s.read(p, s.try.TryRead) }

func (s *sealed) read(p []byte, fill func([]byte) (int, error)) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.bad == nil {
		n, used, err := s.open.Open(p, s.raw[s.r:s.w])
		s.r, s.bad, s.paid = s.r+used, err, max(s.paid, used)
		if n > 0 {
			return n, nil
		}
		if err != nil || used > 0 {
			continue
		}
		if s.bad = s.makeRoom(); s.bad != nil {
			break
		}
		k, err := fill(s.raw[s.w:])
		s.w += k
		s.most = max(s.most, k)
		if k == 0 && err != nil {
			return 0, err
		}
	}
	return 0, s.bad
}

// makeRoom makes room for more octets of the peer, or refuses the frame under way.
func (s *sealed) makeRoom() error {
	have := s.w - s.r
	if have == 0 {
		s.moveTo(s.nextSize())
		return nil
	}
	_, size, h, err := zmtp.ParseHeader(s.raw[s.r:s.w])
	if err != nil {
		return err
	}
	if limit := uint64(max(s.largest, maxCommand) + zmtp.SealedOverhead); size > limit {
		return fmt.Errorf("%w: sealed frame of %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	frame := h + int(size)
	if s.w < len(s.raw) && frame <= len(s.raw)-s.r {
		return nil
	}
	// Claiming costs the peer as much as it costs us: the buffer grows with what has arrived, or has before.
	s.moveTo(max(len(s.raw), min(frame, max(4*have, firstBody, s.paid))))
	return nil
}

// nextSize is the size of the next buffer to read into: four times the last if a read filled half of that, a quarter if none came near.
func (s *sealed) nextSize() int {
	size, most := len(s.raw), s.most
	s.most = 0
	switch {
	case s.base != nil:
		return len(s.base)
	case most >= size/2 && size < maxRaw:
		return min(4*size, maxRaw)
	case most < size/32 && size > firstChunk:
		return max(size/4, firstChunk)
	}
	return size
}

// moveTo moves what is still to be opened to the start of a buffer of a size. One for a large frame is memory that has served before, and will again.
func (s *sealed) moveTo(size int) {
	raw, body := s.raw, s.body
	switch {
	case size == len(raw):
	case size > maxKept:
		if s.base == nil {
			s.base = raw
		}
		raw, body = newBody(size)
		raw = raw[:size]
	case s.base != nil:
		raw, body, s.base = s.base, nil, nil
	default:
		raw = make([]byte, size)
	}
	s.w = copy(raw, s.raw[s.r:s.w])
	if s.body != nil && s.body != body {
		recycleBody(s.body)
	}
	s.raw, s.r, s.body = raw, 0, body
}

// Write takes frames, cut anywhere. When it returns an error, n counts the frames that went out whole.
func (s *sealed) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = s.write(p[n:], s.Conn.Write)
		n += k
	}
	return n, err
}

// TryWrite is Write that never blocks. Of what it does not count some may be sealed already: the next call must have the same octets.
func (s *sealed) TryWrite(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		if k, err = s.write(p[n:], s.try.TryWrite); k == 0 {
			break
		}
		n += k
	}
	if n > 0 && wouldBlock(err) {
		err = nil
	}
	return n, err
}

// write seals what of p is not sealed yet, up to a chunk, and writes it by one call of do.
func (s *sealed) write(p []byte, do func([]byte) (int, error)) (n int, err error) {
	if len(s.out) == 0 {
		if err := s.sealNext(p); err != nil {
			return 0, err
		}
	}
	if len(s.out) > s.sent {
		var k int
		k, err = do(s.out[s.sent:])
		s.sent += k
	}
	landed := s.first + uint64(zmtp.Written(s.out, s.sent))
	if s.sent == len(s.out) {
		landed, err = s.taken, nil
		s.release()
	}
	if landed > s.reported {
		n = int(min(landed-s.reported, uint64(len(p))))
		s.reported += uint64(n)
	}
	return n, err
}

// sealNext seals the next of p.
func (s *sealed) sealNext(p []byte) error {
	p = p[min(s.taken-s.reported, uint64(len(p))):]
	if n := len(p) + zmtp.SealedOverhead + zmtp.MaxHeaderSize; n > sealedRoom && s.buf == nil { // a large body, which comes by itself
		if _, s.buf = newBody(n); s.buf != nil {
			s.large = true
		}
	}
	if s.buf == nil {
		s.buf = sealedBufs.Get().(*[]byte)
	}
	s.first = s.taken - uint64(s.seal.Held())
	out, used, err := s.seal.Append((*s.buf)[:0], p, sealedChunk)
	s.out, s.sent = out, 0
	s.taken += uint64(used)
	if err != nil {
		s.release()
	}
	return err
}

// release gives back the buffer of sealed frames.
func (s *sealed) release() {
	switch {
	case s.buf == nil:
	case s.large:
		recycleBody(s.buf)
	default:
		sealedBufs.Put(s.buf)
	}
	s.buf, s.large, s.out, s.sent = nil, false, nil, 0
}
