package link

import (
	"net"
	"sync"
)

// joinBytes bounds what is copied to be written by one call: a chunk, and the small one before it.
const joinBytes = chunkSize + smallChunk

var joined = sync.Pool{New: func() any { return new([joinBytes]byte) }}

// joins reports whether each write of the connection is a packet, a record or a frame of its own, however small. Within the process it is none.
func (c *Conn) joins() bool {
	if c.give != nil {
		return false
	}
	switch c.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return false
	}
	return true
}

// join writes parts by as few calls of write as a copy of joinBytes allows, until one does not take all: the peer is not woken for the first message of those that
// come together, nor for the envelope of a request.
func (c *Conn) join(parts [][]byte, write func([]byte) (int, error)) (written int, err error) {
	joins := len(parts) > 1 && c.joins()
	for len(parts) > 0 {
		b, k := parts[0], 1
		var buf *[joinBytes]byte
		if joins && len(parts) > 1 && len(b)+len(parts[1]) <= joinBytes {
			buf = joined.Get().(*[joinBytes]byte)
			at := copy(buf[:], b)
			for ; k < len(parts) && at+len(parts[k]) <= joinBytes; k++ {
				at += copy(buf[at:], parts[k])
			}
			b = buf[:at]
		}
		n, err := write(b)
		if buf != nil {
			joined.Put(buf)
		}
		written += n
		if err != nil || n < len(b) {
			return written, err
		}
		parts = parts[k:]
	}
	return written, nil
}
