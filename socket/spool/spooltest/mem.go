// Package spooltest has what the tests of durable things need: a file layer in memory that can lose power, and
// one whose calls fail when told to.
package spooltest

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/meshmq/meshmq/socket/spool"
)

// sector is what a disk writes as a whole.
const sector = 512

// Mem is a spool.FS in memory. It remembers what has been synced, so that Crash can show what the loss of power
// would have left. The zero value is not usable; see NewMem.
type Mem struct {
	mu    sync.Mutex // guards all below, and the files
	names map[string]*inode
	// durable is what names pointed to when their folder was last synced.
	durable map[string]*inode
	room    int64 // bytes that may still be allocated or written; negative: no bound
}

// inode is the content of a file: what is on disk for sure, and what was done to it since.
type inode struct {
	data    []byte
	durable []byte
	pending []change
}

// change is a write at off, or, with nil data, a change of the length to off.
type change struct {
	off  int64
	data []byte
}

// NewMem returns an empty file layer.
func NewMem() *Mem {
	return &Mem{names: make(map[string]*inode), durable: make(map[string]*inode), room: -1}
}

// SetRoom makes the disk full after n more bytes; negative: never.
func (m *Mem) SetRoom(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = n
}

// Crash returns what a loss of power at this moment might have left: of the changes since the last sync
// some are there, some are not, some in part, without regard to their order. With a nil rng all of them are there,
// as after the end of the process alone.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	left := make(map[*inode]*inode)
	keep := func(name string, n *inode) {
		if left[n] == nil {
			data := n.after(rng)
			left[n] = &inode{data: data, durable: slices.Clone(data)}
		}
		after.names[name], after.durable[name] = left[n], left[n]
	}
	for _, name := range m.allNames() {
		was, is := m.durable[name], m.names[name]
		if rng == nil || was != is && rng.IntN(2) == 0 {
			was = is
		}
		if was != nil {
			keep(name, was)
		}
	}
	return after
}

// Synced returns what a loss of power leaves at least: nothing but what was synced.
func (m *Mem) Synced() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	for name, n := range m.durable {
		data := slices.Clone(n.durable)
		left := &inode{data: data, durable: slices.Clone(data)}
		after.names[name], after.durable[name] = left, left
	}
	return after
}

// Forget does to a file what a kernel does that could not write it: what was not synced can still be read, but no
// later sync brings it to the disk.
func (m *Mem) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[name]; n != nil {
		n.pending = nil
	}
}

// allNames returns the names there are and were, sorted, so that a seed means one outcome.
func (m *Mem) allNames() []string {
	all := make([]string, 0, len(m.names))
	for name := range m.names {
		all = append(all, name)
	}
	for name := range m.durable {
		if m.names[name] == nil {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func (n *inode) after(rng *rand.Rand) []byte {
	if rng == nil {
		return slices.Clone(n.data)
	}
	data := slices.Clone(n.durable)
	mode := rng.IntN(4)
	for _, c := range n.pending {
		if c.data == nil {
			if mode == 0 || rng.IntN(2) == 0 {
				data = resize(data, c.off)
			}
			continue
		}
		for i := 0; i < len(c.data); {
			end := min(i+sector-int((c.off+int64(i))%sector), len(c.data))
			if mode == 0 || mode == 1 && rng.IntN(16) > 0 || rng.IntN(2) == 0 {
				data = put(data, c.data[i:end], c.off+int64(i))
			}
			i = end
		}
	}
	return data
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func put(b, data []byte, off int64) []byte {
	if end := off + int64(len(data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[off:], data)
	return b
}

// Flip inverts one bit of a file, on disk as well.
func (m *Mem) Flip(name string, bit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	n.data[bit/8] ^= 1 << (bit % 8)
	n.durable = slices.Clone(n.data)
}

// Bytes returns a copy of a file's content, nil if there is none.
func (m *Mem) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[name]; n != nil {
		return slices.Clone(n.data)
	}
	return nil
}

// Put makes a file with this content, durable at once.
func (m *Mem) Put(name string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &inode{data: slices.Clone(b), durable: slices.Clone(b)}
	m.names[name], m.durable[name] = n, n
}

// Open implements spool.FS.
func (m *Mem) Open(name string, flag int) (spool.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case n != nil && flag&os.O_EXCL != 0:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	case n == nil:
		n = &inode{}
		m.names[name] = n
	}
	return &file{m: m, n: n}, nil
}

// Rename implements spool.FS.
func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[oldname]
	if n == nil {
		return fmt.Errorf("%s: %w", oldname, fs.ErrNotExist)
	}
	if replaced := m.names[newname]; replaced != nil {
		m.spend(-int64(len(replaced.data)))
	}
	delete(m.names, oldname)
	m.names[newname] = n
	return nil
}

// Remove implements spool.FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	delete(m.names, name)
	m.spend(-int64(len(n.data)))
	return nil
}

// List implements spool.FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

// Sync implements spool.FS.
func (m *Mem) Sync(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.allNames() {
		if path.Dir(name) != dir {
			continue
		}
		if n := m.names[name]; n != nil {
			m.durable[name] = n
		} else {
			delete(m.durable, name)
		}
	}
	return nil
}

// Free returns the room left.
func (m *Mem) Free() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.room < 0 {
		return 1 << 62, nil
	}
	return uint64(m.room), nil
}

// Overwrites has logs write zeros ahead, as on ext4 and XFS.
func (m *Mem) Overwrites() bool { return true }

// spend takes n bytes of the room and reports whether they were there.
func (m *Mem) spend(n int64) bool {
	if m.room < 0 || n == 0 {
		return true
	}
	if n > m.room {
		return false
	}
	m.room -= n
	return true
}

// file is an open file.
type file struct {
	m *Mem
	n *inode
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if !f.m.spend(max(0, off+int64(len(b))-int64(len(f.n.data)))) {
		return 0, ErrNoSpace
	}
	f.n.pending = append(f.n.pending, change{off: off, data: slices.Clone(b)})
	f.n.data = put(f.n.data, b, off)
	return len(b), nil
}

func (f *file) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *file) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.setSize(size)
}

func (f *file) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if size <= int64(len(f.n.data)) {
		return nil
	}
	return f.setSize(size)
}

func (f *file) setSize(size int64) error {
	if !f.m.spend(size - int64(len(f.n.data))) {
		return ErrNoSpace
	}
	f.n.pending = append(f.n.pending, change{off: size})
	f.n.data = resize(f.n.data, size)
	return nil
}

func (f *file) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	for _, c := range f.n.pending {
		if c.data == nil {
			f.n.durable = resize(f.n.durable, c.off)
		} else {
			f.n.durable = put(f.n.durable, c.data, c.off)
		}
	}
	f.n.pending = nil
	return nil
}

func (f *file) Close() error { return nil }
