//go:build unix && (!linux || (!amd64 && !arm64) || race)

package link

import "syscall"

// read and write are for systems, and tests, that want each call to be known to the scheduler.
func read(fd int, p []byte) (int, error)  { return syscall.Read(fd, p) }
func write(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
