//go:build linux && !race

package link

import (
	"syscall"
	"unsafe"
)

// rawBytes bounds what is read or written while Go's scheduler does not know that the system is at work: well below a tenth of a millisecond.
const rawBytes = 256 << 10

// read and write call the system without a word to the scheduler, since descriptors here never block. With one, the first call after each pause wakes the
// runtime's monitor, a thread that finds nothing to do: two switches of threads for nothing, every time a peer has been waited for. The race detector
// knows of memory and order through syscall.Read and syscall.Write alone: see system_told.go.
func read(fd int, p []byte) (int, error) {
	if len(p) > rawBytes {
		p = p[:rawBytes]
	}
	return untold(syscall.SYS_READ, fd, p)
}

// write is like read.
func write(fd int, p []byte) (int, error) {
	if len(p) > rawBytes {
		return syscall.Write(fd, p)
	}
	return untold(syscall.SYS_WRITE, fd, p)
}

func untold(call uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
