package spooltest

import (
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/meshmq/meshmq/socket/spool"
)

// ErrNoSpace is what a full disk returns.
var ErrNoSpace error = syscall.ENOSPC

// ErrInjected is the error of a call that was told to fail.
var ErrInjected = errors.New("injected error")

// ErrShort has a write do half and say so by the number alone, which an io.WriterAt must not. Of other calls it is an error.
var ErrShort = errors.New("injected short write")

// Faulty is a spool.FS that asks before each call.
type Faulty struct {
	FS spool.FS
	// Before is called with the number of the call, from 1, and what it is: "open", "rename", "remove", "list",
	// "syncdir", "read", "write", "size", "truncate", "allocate", "sync", "close". An error is what the call returns,
	// without doing anything, but for a write: that does half of it.
	Before func(call int64, op, name string) error
	// Unreadable says whether a read of n bytes at off fails for good, as that of a bad sector does.
	Unreadable func(name string, off, n int64) bool

	calls atomic.Int64
}

// Calls returns how many calls there were.
func (f *Faulty) Calls() int64 { return f.calls.Load() }

func (f *Faulty) before(op, name string) error {
	n := f.calls.Add(1)
	if f.Before == nil {
		return nil
	}
	return f.Before(n, op, name)
}

// Open implements spool.FS.
func (f *Faulty) Open(name string, flag int) (spool.File, error) {
	if err := f.before("open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f: f, name: name, file: file}, nil
}

// Rename implements spool.FS.
func (f *Faulty) Rename(oldname, newname string) error {
	if err := f.before("rename", oldname); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

// Remove implements spool.FS.
func (f *Faulty) Remove(name string) error {
	if err := f.before("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// List implements spool.FS.
func (f *Faulty) List(dir string) ([]string, error) {
	if err := f.before("list", dir); err != nil {
		return nil, err
	}
	return f.FS.List(dir)
}

// Sync implements spool.FS.
func (f *Faulty) Sync(dir string) error {
	if err := f.before("syncdir", dir); err != nil {
		return err
	}
	return f.FS.Sync(dir)
}

// Overwrites says what FS says of itself.
func (f *Faulty) Overwrites() bool {
	o, ok := f.FS.(interface{ Overwrites() bool })
	return ok && o.Overwrites()
}

type faultyFile struct {
	f    *Faulty
	name string
	file spool.File
}

func (f *faultyFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.f.before("read", f.name); err != nil {
		return 0, err
	}
	if f.f.Unreadable != nil && f.f.Unreadable(f.name, off, int64(len(b))) {
		return 0, ErrInjected
	}
	return f.file.ReadAt(b, off)
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.f.before("write", f.name); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], off)
		if errors.Is(err, ErrShort) {
			err = nil
		}
		return n, err
	}
	return f.file.WriteAt(b, off)
}

func (f *faultyFile) Size() (int64, error) {
	if err := f.f.before("size", f.name); err != nil {
		return 0, err
	}
	return f.file.Size()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.f.before("truncate", f.name); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *faultyFile) Allocate(size int64) error {
	if err := f.f.before("allocate", f.name); err != nil {
		return err
	}
	return f.file.Allocate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.f.before("sync", f.name); err != nil {
		return err
	}
	return f.file.Sync()
}

// Close lets the file go even when it is told to fail.
func (f *faultyFile) Close() error {
	return errors.Join(f.f.before("close", f.name), f.file.Close())
}
