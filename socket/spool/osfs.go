package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// dirFS is the FS of a real directory. os.Root keeps every name inside it.
type dirFS struct{ root *os.Root }

// openDir opens dir, which must be a directory of this user that nobody else can write to. With create it is
// made if it is missing.
func openDir(dir string, create bool) (dirFS, error) {
	dir = trimmed(dir)
	if dir == "" || strings.IndexByte(dir, 0) >= 0 {
		return dirFS{}, fmt.Errorf("a path that is empty, or has a zero byte: %w", ErrNotDirectory)
	}
	if create {
		if err := makeDir(dir); errors.Is(err, fs.ErrNotExist) {
			return dirFS{}, fmt.Errorf("the folder that it would be made in does not exist: make it: %w", err)
		} else if err != nil {
			return dirFS{}, notDirectory(err)
		}
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return dirFS{}, notDirectory(err)
	case info.Mode()&os.ModeSymlink != 0:
		return dirFS{}, fmt.Errorf("a link, which is not followed: %w", ErrNotDirectory)
	case !info.IsDir():
		return dirFS{}, ErrNotDirectory
	}
	if err := checkOwner(info); err != nil {
		return dirFS{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return dirFS{}, err
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(info, opened) {
		return dirFS{}, errors.Join(ErrNotDirectory, err, root.Close()) // exchanged meanwhile
	}
	return dirFS{root}, nil
}

// notDirectory gives the error of a path that leads through a file its type.
func notDirectory(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("a file is where a folder on its path should be: %w (%w)", ErrNotDirectory, err)
	}
	return err
}

// trimmed returns dir without what would have a link at its end followed.
func trimmed(dir string) string {
	for last := len(dir) - 1; last > len(filepath.VolumeName(dir)); last-- {
		if !os.IsPathSeparator(dir[last]) && (dir[last] != '.' || !os.IsPathSeparator(dir[last-1])) {
			break
		}
		dir = dir[:last]
	}
	return dir
}

// makeDir makes dir and its entry in the folder above durable. One that is there may have been made by a process that
// ended in between.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	there := errors.Is(err, fs.ErrExist)
	if err != nil && !there {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if there && errors.Is(err, fs.ErrPermission) { // it was made by who may
		return nil
	} else if err != nil {
		return err
	}
	return errors.Join(syncDir(parent), parent.Close())
}

// Close lets the directory go.
func (d dirFS) Close() error { return d.root.Close() }

// Open opens a plain file of this user. It looks before it opens, so as not to hang at a pipe, and again after.
func (d dirFS) Open(name string, flag int) (File, error) {
	before, err := d.root.Lstat(name)
	if err == nil && !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, ErrNotRegular)
	}
	if errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
		if err := d.makeFolder(path.Dir(name)); err != nil {
			return nil, err
		}
	}
	f, err := d.root.OpenFile(name, flag|openFlags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err == nil {
		err = checkOwner(info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return osFile{f}, nil
}

func (d dirFS) makeFolder(name string) error {
	if name == "." {
		return nil
	}
	if err := d.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.Sync(path.Dir(name)) // also if it is there: see makeDir
}

// Rename replaces newname if it is there.
func (d dirFS) Rename(oldname, newname string) error { return d.root.Rename(oldname, newname) }

// Remove removes a plain file.
func (d dirFS) Remove(name string) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", name, ErrNotRegular)
	}
	return d.root.Remove(name)
}

// List returns the names in a folder of this user.
func (d dirFS) List(dir string) ([]string, error) {
	info, err := d.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", dir, errNotFolder)
	}
	if err := checkOwner(info); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// Sync makes the names in a folder durable.
func (d dirFS) Sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// Free returns the bytes that a user may still write to this disk.
func (d dirFS) Free() (uint64, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return 0, err
	}
	free, err := freeBytes(f)
	return free, errors.Join(err, f.Close())
}

// Overwrites reports whether the disk syncs sooner what is written over.
func (d dirFS) Overwrites() bool {
	f, err := d.root.Open(".")
	if err != nil {
		return false
	}
	defer f.Close()
	return journalsExtents(f)
}

// osFile is a File of the operating system.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Allocate(size int64) error { return allocate(f.File, size) }

// Sync confirms nothing of a file that somebody has removed: its bytes end with this process.
func (f osFile) Sync() error {
	if err := syncData(f.File); err != nil {
		return err
	}
	return checkLinked(f.File)
}
