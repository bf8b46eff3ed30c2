//go:build unix

package link

import (
	"io"
	"net"
	"syscall"

	"github.com/meshmq/meshmq/transport"
)

// descriptor tries reads and writes on the connection's file descriptor, which the runtime keeps in
// non-blocking mode. The closures are made once, since one per call would be an allocation.
type descriptor struct {
	read, write attempt
}

type attempt struct {
	raw syscall.RawConn
	buf []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

func newNonblocking(c net.Conn) nonblocking {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	d := &descriptor{read: attempt{raw: raw}, write: attempt{raw: raw}}
	d.read.do = d.read.with(syscall.Read)
	d.write.do = d.write.with(syscall.Write)
	return d
}

func (a *attempt) with(call func(int, []byte) (int, error)) func(uintptr) bool {
	return func(fd uintptr) bool {
		for {
			a.n, a.err = call(int(fd), a.buf)
			if a.err != syscall.EINTR {
				return true // never wait for the descriptor
			}
		}
	}
}

func (a *attempt) finish(err error) (int, error) {
	a.buf = nil
	if err != nil {
		return 0, err
	}
	if a.err == syscall.EAGAIN {
		return 0, transport.ErrWouldBlock
	}
	return max(a.n, 0), a.err
}

func (d *descriptor) TryRead(p []byte) (int, error) {
	d.read.buf = p
	n, err := d.read.finish(d.read.raw.Read(d.read.do))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (d *descriptor) TryWrite(p []byte) (int, error) {
	d.write.buf = p
	return d.write.finish(d.write.raw.Write(d.write.do))
}
