//go:build unix

package transport

import "syscall"

// setBuffers sets the sizes of a socket's buffers, in bytes, where they are not 0.
func setBuffers(conn syscall.RawConn, send, recv int) {
	_ = conn.Control(func(fd uintptr) {
		if send > 0 {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, send)
		}
		if recv > 0 {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, recv)
		}
	})
}
