package socket

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread returns how many bytes of the peer's wait to be read, 0 if the connection does not say.
func unread(conn net.Conn) (n int) {
	for {
		switch over := conn.(type) {
		case syscall.Conn:
			raw, err := over.SyscallConn()
			if err != nil {
				return 0
			}
			_ = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }) // closed: 0
			return n
		case interface{ NetConn() net.Conn }:
			conn = over.NetConn()
		default:
			return 0
		}
	}
}
