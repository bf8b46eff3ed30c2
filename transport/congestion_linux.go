package transport

import (
	"net"
	"syscall"
)

// calm has a connection within the host use the simplest congestion control: every Linux has it and lets anybody choose it, and there is no network to share. What
// paces its packets instead, as BBR does, which servers often have for their default, costs up to a quarter more time in the system at both ends.
func calm(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	from, to := tcp.LocalAddr().(*net.TCPAddr), tcp.RemoteAddr().(*net.TCPAddr)
	if !to.IP.IsLoopback() && !to.IP.Equal(from.IP) {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	calmSocket(raw)
}

// calmSocket is calm for a socket before it is connected, or listens, at an address of the loopback interface. Later it gets but half of it: what BBR began goes on to pace under any other.
func calmSocket(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "reno")
	})
}
