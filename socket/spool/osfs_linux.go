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

// syncData leaves out what is not needed to read the data again, such as times.
func syncData(f *os.File) error { return control(f, unix.Fdatasync) }
