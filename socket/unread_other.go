//go:build !linux

package socket

import "net"

// unread returns how many bytes of the peer's wait to be read. The system is not asked here.
func unread(net.Conn) int { return 0 }
