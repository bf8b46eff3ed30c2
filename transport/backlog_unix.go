//go:build unix

package transport

import "syscall"

// setBacklog changes the backlog of a listener: to listen again on a socket that listens does just that.
func setBacklog(ln syscall.Conn, n int) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), n) })
	if failed != nil {
		return failed
	}
	return err
}
