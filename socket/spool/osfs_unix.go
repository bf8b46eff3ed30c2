//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep an open from following a link and from waiting for the other end of a pipe.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK

// checkOwner refuses what another user could change.
func checkOwner(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("owned by user %d: %w", stat.Uid, ErrOwner)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("mode %04o: %w", perm, ErrOwner)
	}
	return nil
}

func syncDir(f *os.File) error { return f.Sync() }

// tryLock returns ErrInUse if another open file has the lock.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

// probeLock is tryLock for who only wants to know: any number may have it at a time.
func probeLock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) }

// lockDir locks the directory itself: else whoever removes the lock file, since it looks left behind, would let a second process in. Where directories cannot be
// locked, as on NFS, the file must do.
func lockDir(f *os.File) error {
	if err := tryLock(f); errors.Is(err, ErrInUse) {
		return err
	}
	return nil
}

// checkLinked finds a file that has no name any more.
func checkLinked(f *os.File) error {
	n, err := links(f)
	if err == nil && n == 0 {
		err = errRemoved
	}
	return err
}

// fstatLinks returns how many names a file has.
func fstatLinks(f *os.File) (n uint64, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var stat unix.Stat_t
	failed := conn.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &stat) })
	return uint64(stat.Nlink), errors.Join(failed, err)
}

func unlock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
