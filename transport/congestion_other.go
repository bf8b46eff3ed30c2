//go:build !linux

package transport

import "net"

// calm does nothing: other systems choose well by themselves, or leave no choice.
func calm(net.Conn) {}
