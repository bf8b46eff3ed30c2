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
	wait, late  attempt
	gather      *gather
	lender      lender
	count       func(fd uintptr)
	waiting     int32 // bytes to be read
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
	d.read.do = d.read.with(read)
	d.write.do = d.write.with(write)
	d.wait = attempt{raw: raw, do: d.readAny}
	d.late = attempt{raw: raw, do: d.readLate}
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

// Read is that of the connection.
func (d *descriptor) Read(p []byte) (int, error) {
	d.wait.buf = p
	n, err := d.wait.finish(d.wait.raw.Read(d.wait.do))
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// readAny reports whether something was read, or can be read no more.
func (d *descriptor) readAny(fd uintptr) bool {
	for {
		d.wait.n, d.wait.err = read(int(fd), d.wait.buf)
		if d.wait.err != syscall.EINTR {
			return d.wait.err != syscall.EAGAIN
		}
	}
}

// ReadLate is Read into a buffer of l, which is lent while there is something to read.
func (d *descriptor) ReadLate(l lender) (int, error) {
	d.lender = l
	n, err := d.late.finish(d.late.raw.Read(d.late.do))
	d.lender = nil
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// readLate reports whether something was read, or can be read no more.
func (d *descriptor) readLate(fd uintptr) bool {
	buf := d.lender.lend()
	for {
		d.late.n, d.late.err = read(int(fd), buf)
		if d.late.err == syscall.EINTR {
			continue
		}
		if d.late.n <= 0 {
			d.lender.takeBack()
		}
		return d.late.err != syscall.EAGAIN
	}
}

func (d *descriptor) TryWrite(p []byte) (int, error) {
	d.write.buf = p
	return d.write.finish(d.write.raw.Write(d.write.do))
}
