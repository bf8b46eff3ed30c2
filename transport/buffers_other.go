//go:build !unix

package transport

import "syscall"

// setBuffers does nothing: the sizes are set when there is a connection.
func setBuffers(syscall.RawConn, int, int) {}
