package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

func (c *Config) listenIPC(ctx context.Context, e Endpoint) (Listener, error) {
	if e.name == "*" {
		// Parsed like any other, because the folder for temporary files may have an odd or long name.
		var err error
		if e, err = ParseBind("ipc://" + filepath.Join(os.TempDir(), "meshmq-"+rand.Text()+".sock")); err != nil {
			return nil, err
		}
	}
	if e.name[0] == '@' {
		return c.listenAbstract(ctx, e)
	}
	// Bind, listen and the look at a stale file are three steps; the lock keeps those of two processes apart.
	unlock := lockFolder(ctx, filepath.Dir(e.name))
	defer unlock()
	ln, err := c.listenUnix(ctx, e.name)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err = removeStale(e.name); err == nil {
			ln, err = c.listenUnix(ctx, e.name)
		}
	}
	if err != nil {
		return nil, err
	}
	own, err := os.Lstat(e.name)
	if err != nil {
		ln.Close()
		return nil, err
	}
	release := func() error {
		// While ln listens nobody takes the path for stale: the file goes first.
		return errors.Join(removeOwn(e.name, own), ln.Close())
	}
	return &netListener{ln: ln, endpoint: e.String(), wrap: c.tune, close: sync.OnceValue(release)}, nil
}

func (c *Config) listenAbstract(ctx context.Context, e Endpoint) (Listener, error) {
	if err := abstractSupport(); err != nil {
		return nil, err
	}
	ln, err := c.listenUnix(ctx, e.name)
	if err != nil {
		return nil, err
	}
	return &netListener{ln: ln, endpoint: e.String(), wrap: c.tune, close: sync.OnceValue(ln.Close)}, nil
}

func (c *Config) listenUnix(ctx context.Context, path string) (*net.UnixListener, error) {
	ln, err := c.listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	unix := ln.(*net.UnixListener)
	unix.SetUnlinkOnClose(false) // it would remove whatever is at the path by then
	return unix, nil
}

// removeStale removes the socket file that a dead process left at path. Anything else stays, and is
// reported as syscall.EADDRINUSE: only a refused connection proves that nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w by a file that is no socket", syscall.EADDRINUSE)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return syscall.EADDRINUSE
	}
	return os.Remove(path)
}

// removeOwn removes the file at path if it still is own: another may have been put in its place.
func removeOwn(path string, own fs.FileInfo) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !os.SameFile(info, own) {
		return err
	}
	return os.Remove(path)
}

func (c *Config) dialIPC(ctx context.Context, e Endpoint) (net.Conn, error) {
	if e.name[0] == '@' {
		if err := abstractSupport(); err != nil {
			return nil, err
		}
	}
	return c.dial(ctx, nil, "unix", e.name)
}
