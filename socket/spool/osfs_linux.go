package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// control runs a system call on the file's descriptor, again if a signal came between.
func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = call(int(fd))
		}
	})
	return errors.Join(failed, err)
}

func allocate(f *os.File, size int64) error {
	err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// journalsExtents reports whether f is on ext4 or XFS. Where nothing is written in its place, as on Btrfs, to write ahead would double the work for nothing.
func journalsExtents(f *os.File) bool {
	var s unix.Statfs_t
	if err := control(f, func(fd int) error { return unix.Fstatfs(fd, &s) }); err != nil {
		return false
	}
	return s.Type == unix.EXT4_SUPER_MAGIC || s.Type == unix.XFS_SUPER_MAGIC
}

// syncData leaves out what is not needed to read the data again, such as times.
func syncData(f *os.File) error { return control(f, unix.Fdatasync) }

// links returns how many names a file has. It asks for nothing else: Linux, which keeps times as finely as somebody looks at them, has a write after
// a look at the times change the inode, and that made each sync take half as long again.
func links(f *os.File) (uint64, error) {
	var stat unix.Statx_t
	err := control(f, func(fd int) error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_NLINK, &stat) })
	if err != nil { // an old kernel, or a filter of system calls that does not know it
		return fstatLinks(f)
	}
	return uint64(stat.Nlink), nil
}
