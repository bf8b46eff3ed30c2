package transport

import (
	"context"
	"os"
	"syscall"
	"time"
)

// maxSocketPath is what sockaddr_un.sun_path holds, without the NUL at its end.
const maxSocketPath = 107

// How long to wait for another process that binds in the same folder. It needs microseconds; whoever keeps the
// lock longer is no listener, and must not be able to stop us.
const (
	folderLockPoll = time.Millisecond
	folderLockWait = 500 * time.Millisecond
)

// abstractSupport returns an error where ipc://@name does not exist.
func abstractSupport() error { return nil }

// lockFolder keeps other processes from binding a socket in dir until unlock is called. The lock is on the folder
// itself, so that no lock file stays behind. It is a courtesy among listeners: where it cannot be had, unlock
// does nothing and binding goes on.
func lockFolder(ctx context.Context, dir string) (unlock func()) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, folderLockWait)
	defer cancel()
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK && ctx.Err() == nil {
		select {
		case <-time.After(folderLockPoll):
		case <-ctx.Done():
		}
	}
	return func() { f.Close() }
}
