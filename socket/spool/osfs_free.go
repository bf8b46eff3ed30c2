//go:build linux || darwin || freebsd || dragonfly

package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

func freeBytes(f *os.File) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, err
	}
	return uint64(max(int64(s.Bavail), 0)) * uint64(s.Bsize), nil
}
