package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// lostName is a file in which Repair says which messages are lost to damage, for those who count what is there: opening reads the last segment only. doc.go draws it.
//
// Invariant: it may say too little, or nothing, and never too much: it is written when the segments are as they will be, and is of no use in a log that ends before it did then,
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

// readLost returns what the file says, if there is one that can be read.
func readLost(fs FS) (l lost, ok bool) {
	f, err := fs.Open(lostName, os.O_RDONLY)
	if err != nil {
		return l, false
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return l, false
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return l, false
	}
	return decodeLost(b)
}

// write puts it on disk in the place of what was there, but for the name.
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
	return nil
}

// noteLost has the file say what is lost of a log that was read as d and goes on at next, unless it does.
func (d *loaded) noteLost(fs FS, next uint64, numbers spans) error {
	l := lost{id: d.segments[0].header.id, next: next, numbers: numbers}
	missing := false
	for _, n := range numbers.all() {
		missing = missing || d.lost.count(n.lo, n.hi) < n.hi-n.lo+1
	}
	if !missing {
		return nil
	}
	return noRoom(l.write(fs), lostName, int64(len(l.encode())))
}

// readLost adds what the file says to what is known to be damaged, or finds out that it is of no use.
func (d *loaded) readLost(fs FS) {
	l, ok := readLost(fs)
	if d.stale = ok && (l.id != d.segments[0].header.id || l.next > d.next); !ok || d.stale {
		return
	}
	d.lost = l.numbers
	for _, n := range l.numbers.all() {
		d.state.damaged.add(n.lo, n.hi)
	}
}
