//go:build !unix

package transport

import (
	"errors"
	"syscall"
)

// setBacklog is not possible: the backlog is fixed when package net makes the listener.
func setBacklog(syscall.Conn, int) error { return errors.ErrUnsupported }
