package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// lostName is a file in which Repair says which messages are lost to damage, for those who count what is there: opening reads the last segment only. doc.go draws it.
//
// Invariant: it may say too little, or nothing, and never too much: it is what a look at the segments finds when they are as they will be, and is of no use in a log that ends before it did then,
// where numbers are given again.
const lostName = "lost"

// lost is what the file says.
type lost struct {
	id      ID
	next    uint64 // the number to come then
	numbers spans
}

const (
	lostHead  = 16 + 8
	lostExtra = lostHead + 4
)

func (l *lost) encode() []byte {
	b := binary.LittleEndian.AppendUint64(append(make([]byte, 0, lostExtra), l.id[:]...), l.next)
	b = appendSpans(b, &l.numbers)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeLost returns what b says; ok is false if that is nothing.
func decodeLost(b []byte) (l lost, ok bool) {
	end := len(b) - 4
	if len(b) < lostExtra || binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return l, false
	}
	copy(l.id[:], b)
	l.next = binary.LittleEndian.Uint64(b[len(l.id):])
	d := decoder{b: b[lostHead:end]}
	d.spans(func(lo, hi uint64) { l.numbers.add(lo, hi) })
	return l, d.err == nil && len(d.b) == 0
}

// readLost returns what the file says.
func readLost(fs FS) (l lost, err error) {
	f, err := fs.Open(lostName, os.O_RDONLY)
	if err != nil {
		return l, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return l, err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return l, err
	}
	l, ok := decodeLost(b)
	if !ok {
		return l, fmt.Errorf("%s: %w", lostName, ErrDamaged)
	}
	return l, nil
}

// write puts it on disk in the place of what was there.
func (l *lost) write(fs FS) error {
	if err := fs.Remove(compactName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := fs.Open(compactName, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	err = errors.Join(flush(f, l.encode(), 0), f.Close())
	if err == nil {
		err = fs.Rename(compactName, lostName)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", lostName, err), fs.Remove(compactName))
	}
	return fs.Sync(".")
}

// note has the file say it, unless it does; there is none where nothing is lost.
func (l *lost) note(fs FS) error {
	is, err := readLost(fs)
	ranges := l.numbers.all()
	switch {
	case len(ranges) == 0 && errors.Is(err, os.ErrNotExist):
		return nil
	case len(ranges) == 0:
		return removeLost(fs)
	case err == nil && is.id == l.id && is.next <= l.next && slices.Equal(is.numbers.all(), ranges):
		return nil
	}
	return noRoom(l.write(fs), lostName, int64(len(l.encode())))
}

// removeLost removes the file for good: it must not come back when numbers have been given again.
func removeLost(fs FS) error {
	err := fs.Remove(lostName)
	if err == nil {
		return fs.Sync(".")
	} else if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readLost adds what the file says to what is known to be damaged, or finds out that it is of no use.
func (d *loaded) readLost(fs FS) {
	l, err := readLost(fs)
	if err != nil {
		return
	}
	if d.stale = l.id != d.segments[0].header.id || l.next > d.next; d.stale {
		return
	}
	for _, n := range l.numbers.all() {
		d.state.damaged.add(n.lo, n.hi)
	}
}
