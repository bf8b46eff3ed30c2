//go:build !linux

package transport

import (
	"net"
	"syscall"
)

// calm does nothing: other systems choose well by themselves, or leave no choice.
func calm(net.Conn) {}

func calmSocket(syscall.RawConn) {}
