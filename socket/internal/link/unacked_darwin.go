package link

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacked returns how many bytes wait in the system, or are on their way (SO_NWRITE).
func unacked(c *net.TCPConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NWRITE) }) != nil || err != nil {
		return 0
	}
	return n
}
