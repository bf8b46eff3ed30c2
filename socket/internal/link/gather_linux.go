package link

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxParts bounds the parts of one call: more are as well written by the next.
const maxParts = 16

// gather is an attempt at writing several buffers. It is made when there first are.
type gather struct {
	attempt
	parts [][]byte
	iov   [maxParts]unix.Iovec
	msg   unix.Msghdr
}

// TryWriteAll is TryWrite for several buffers. It may write fewer than it could: nil says only that the connection is well.
func (d *descriptor) TryWriteAll(parts [][]byte) (int, error) {
	if d.gather == nil {
		d.gather = &gather{attempt: attempt{raw: d.write.raw}}
		d.gather.do = d.gather.writeAll
	}
	d.gather.parts = parts[:min(len(parts), maxParts)]
	n, err := d.gather.finish(d.gather.raw.Write(d.gather.do))
	d.gather.parts = nil
	return n, err
}

func (g *gather) writeAll(fd uintptr) bool {
	for i, b := range g.parts {
		g.iov[i].Base = &b[0]
		g.iov[i].SetLen(len(b))
	}
	g.msg.Iov = &g.iov[0]
	g.msg.SetIovlen(len(g.parts))
	for g.err = syscall.EINTR; g.err == syscall.EINTR; {
		g.n, g.err = writeAll(int(fd), &g.msg, g.parts)
	}
	clear(g.iov[:len(g.parts)])
	return true // never wait for the descriptor
}

// AwaitRoom waits until something can be written, or most has passed, in the system: the runtime's poller would be late for such a time. It reports whether that is so.
func (d *descriptor) AwaitRoom(most time.Duration) (room bool) {
	wait := unix.NsecToTimespec(int64(most))
	err := d.write.raw.Control(func(fd uintptr) {
		polled := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Ppoll(polled[:], &wait, nil)
		room = n == 1 && err == nil
	})
	return room && err == nil
}
