package link

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Waiting asks the system (SIOCINQ).
func (d *descriptor) Waiting() int {
	if d.count == nil {
		d.count = d.countWaiting
	}
	d.waiting = 0
	_ = d.read.raw.Control(d.count)
	return int(d.waiting)
}

func (d *descriptor) countWaiting(fd uintptr) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_IOCTL, fd, unix.SIOCINQ, uintptr(unsafe.Pointer(&d.waiting)))
}
