package main

import (
	"net"
	"syscall"
)

// calm has the connection use the simplest congestion control, as those of meshmq within a host do: what paces its packets instead, as BBR does, is
// no limit of the machine.
func calm(conn net.Conn) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	check(err)
	check(raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "reno")
	}))
	check(err)
}
