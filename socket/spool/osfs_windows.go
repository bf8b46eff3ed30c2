package spool

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

const openFlags = 0

// checkOwner leaves it to the access lists of the folder.
func checkOwner(fs.FileInfo) error { return nil }

// syncDir does nothing: NTFS keeps names in its journal, and folders cannot be flushed.
func syncDir(*os.File) error { return nil }

// tryLock returns ErrInUse if another open file has the lock. The byte locked lies behind what the file says, so
// that others can read who has it.
func tryLock(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrInUse
	}
	return err
}

// probeLock is tryLock for who only wants to know: any number may have it at a time.
func probeLock(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1}
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
}

// lockDir does nothing: nobody can remove a file that is locked.
func lockDir(*os.File) error { return nil }

// checkLinked does nothing, since nobody can remove a file that is open.
func checkLinked(*os.File) error { return nil }

func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
}

func freeBytes(f *os.File) (uint64, error) {
	path, err := windows.UTF16PtrFromString(f.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return free, err
}
