//go:build linux && (amd64 || arm64) && !race

package link

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// untoldBytes bounds what is read or written while Go's scheduler does not know that the system is at work: well below a tenth of a millisecond.
const untoldBytes = maxRun

// read and write call the system without a word to the scheduler, and never block, whatever mode the descriptor is in: somebody may hold a copy of it. With a
// word, the first call after each pause wakes the runtime's monitor, a thread that finds nothing to do: two switches of threads for nothing, every time a
// peer has been waited for. The race detector knows of memory and order through syscall.Read and syscall.Write alone: see system_told.go.
func read(fd int, p []byte) (int, error) {
	n, err := untold(syscall.SYS_RECVFROM, fd, p[:min(len(p), untoldBytes)], syscall.MSG_DONTWAIT)
	if err == syscall.ENOTSOCK {
		return syscall.Read(fd, p)
	}
	return n, err
}

// write is like read.
func write(fd int, p []byte) (int, error) {
	if len(p) <= untoldBytes {
		if n, err := untold(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL); err != syscall.ENOTSOCK {
			return n, err
		}
	}
	return syscall.Write(fd, p)
}

// writeAll is write for parts, which msg has as well. Together they are gatherBytes at most.
func writeAll(fd int, msg *unix.Msghdr, parts [][]byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(msg)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.ENOTSOCK:
		return unix.Writev(fd, parts)
	}
	return -1, errno
}

func untold(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
