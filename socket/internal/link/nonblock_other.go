//go:build !unix

package link

import "net"

// newNonblocking has no way to try on this system: the pumps do all the work.
func newNonblocking(net.Conn) nonblocking { return nil }
