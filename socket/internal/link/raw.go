package link

import (
	"encoding/binary"
	"net"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// raw is a connection to a peer that speaks no ZMTP: bytes without frames. To the two ends of a link it looks as if it did. What one read
// brings is a message of one frame; of what is written only the bodies of the frames go out.
type raw struct {
	*Conn
	left int // bytes still to be written of the body under way; who writes uses it
}

// NewRawConn is NewConn for a peer that speaks no ZMTP.
func NewRawConn(c net.Conn) *Conn {
	inner := NewConn(c)
	r := &raw{Conn: inner}
	if inner.try == nil {
		return &Conn{Conn: r}
	}
	return &Conn{Conn: r, try: r}
}

// rawHeader is room for a header before what is read: of the long form, since the size is known only afterwards.
const rawHeader = zmtp.MaxHeaderSize

// Read needs room for a header and a byte, which In always has.
func (r *raw) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p[rawHeader:])
	return frame(p, n), err
}

func (r *raw) TryRead(p []byte) (int, error) {
	n, err := r.try.TryRead(p[rawHeader:])
	return frame(p, n), err
}

// frame puts a header before n bytes that were read, and returns the size of both.
func frame(p []byte, n int) int {
	if n <= 0 {
		return 0
	}
	p[0] = zmtp.FlagLong
	binary.BigEndian.PutUint64(p[1:], uint64(n))
	return rawHeader + n
}

func (r *raw) Write(p []byte) (int, error) { return r.write(p, r.Conn.Write) }

func (r *raw) TryWrite(p []byte) (int, error) { return r.write(p, r.try.TryWrite) }

// write puts the bodies in p out at once, and returns how much of p is done with.
func (r *raw) write(p []byte, put func([]byte) (int, error)) (n int, err error) {
	if len(p) <= r.left {
		n, err = put(p)
		r.left -= n
		return n, err
	}
	buf := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buf)
	bodies := appendBodies(buf[:0], p, r.left)
	k := 0
	if len(bodies) > 0 {
		k, err = put(bodies)
	}
	return r.advance(p, k), err
}

// appendBodies appends the bodies of the frames in p, which starts with the last left bytes of one and may end within one.
// Headers are whole: a queue holds each in one piece, and none is left over by advance.
func appendBodies(dst, p []byte, left int) []byte {
	for {
		n := min(left, len(p))
		dst = append(dst, p[:n]...)
		p = p[n:]
		if len(p) == 0 {
			return dst
		}
		_, size, h, _ := zmtp.ParseHeader(p)
		left, p = int(size), p[h:]
	}
}

// advance returns how much of p is done with when k bytes of its bodies are written.
func (r *raw) advance(p []byte, k int) (n int) {
	for n < len(p) {
		if r.left == 0 {
			_, size, h, _ := zmtp.ParseHeader(p[n:])
			r.left = int(size)
			n += h
			continue
		}
		body := min(r.left, len(p)-n, k)
		if body == 0 {
			break
		}
		r.left -= body
		n += body
		k -= body
	}
	return n
}
