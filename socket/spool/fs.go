package spool

import (
	"io"
	"path"
	"strings"
	"time"
)

// FS is the directory a log lives in: the one way to the disk, so that tests can make each call fail. Names are
// relative, with forward slashes. Open flags are those of package os; O_CREATE makes missing folders, too.
//
// Only what Sync has confirmed survives the loss of power: File.Sync the bytes of a file, FS.Sync the names
// in a folder.
type FS interface {
	Open(name string, flag int) (File, error)
	Rename(oldname, newname string) error
	Remove(name string) error
	// List returns the names of the files in a folder, "." being the top, in any order; none if it is missing.
	List(dir string) ([]string, error)
	// Sync makes the names in a folder durable.
	Sync(dir string) error
}

// File is an open file of a log. Reads may run at the same time as writes.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Allocate reserves disk space so that the file has at least size bytes, new ones zero. Where the
	// system cannot, it does nothing.
	Allocate(size int64) error
	// Sync returns when all bytes written are durable. After an error nothing is known of any of them.
	Sync() error
}

// freer is an FS that knows how much room its disk has.
type freer interface {
	Free() (uint64, error)
}

// overwriter is an FS that knows whether its disk syncs what is written over sooner than what was only allocated, as ext4 and XFS do: they note in their
// journal which bytes of a file were ever written.
type overwriter interface {
	Overwrites() bool
}

// overwrites reports whether fs is an overwriter that does.
func overwrites(fs FS) bool {
	o, ok := fs.(overwriter)
	return ok && o.Overwrites()
}

// clocked is an FS with a clock of its own: for tests.
type clocked interface {
	Now() time.Time
}

// clockOf returns the clock that goes with fs.
func clockOf(fs FS) func() int64 {
	if c, ok := fs.(clocked); ok {
		return func() int64 { return c.Now().UnixNano() }
	}
	return now
}

// folder is a part of another FS, for the log inside a log.
type folder struct {
	fs  FS
	dir string
}

func (f folder) Open(name string, flag int) (File, error) {
	return f.fs.Open(path.Join(f.dir, name), flag)
}
func (f folder) Remove(name string) error          { return f.fs.Remove(path.Join(f.dir, name)) }
func (f folder) List(dir string) ([]string, error) { return f.fs.List(path.Join(f.dir, dir)) }
func (f folder) Sync(dir string) error             { return f.fs.Sync(path.Join(f.dir, dir)) }
func (f folder) Rename(oldname, newname string) error {
	return f.fs.Rename(path.Join(f.dir, oldname), path.Join(f.dir, newname))
}

func (f folder) Free() (uint64, error) {
	if fs, ok := f.fs.(freer); ok {
		return fs.Free()
	}
	return 1 << 63, nil
}

func (f folder) Overwrites() bool { return overwrites(f.fs) }

const (
	segmentSuffix = ".seg"
	nextName      = "next"        // the segment to come, allocated ahead
	compactName   = "compact.tmp" // a segment being rewritten
	badSuffix     = ".bad"        // quarantine: nothing reads these
	lockName      = "LOCK"
	deadName      = "dead"
)

// isQuarantine reports whether a file was put aside by Repair.
func isQuarantine(name string) bool { return strings.HasSuffix(name, badSuffix) }
