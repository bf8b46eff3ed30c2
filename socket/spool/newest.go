package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// newestName is a file that says which segment is the newest, and up to where that was durable at least, which doc.go draws. Without it nobody could tell a last segment
// that was removed from a crash before it was begun, nor an end that was cut off, or turned to zeros, from one that was never written.
//
// Invariant: it may say too little, or nothing, and never too much, whatever a crash leaves of it. It is written when what it says is durable, and nothing changes that afterwards:
// records are put behind it, and who writes the segment anew draws another salt.
const newestName = "newest"

const (
	newestSize    = 32
	oldNewestSize = 12 // the ordinal and its sum: all that there was once
)

// newest is what the file says.
type newest struct {
	ordinal uint64
	salt    salt     // of the segment that durable is in
	durable landmark // all before this place
}

func (n newest) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(make([]byte, 0, newestSize), n.ordinal)
	b = le.AppendUint32(b, n.salt.header)
	b = le.AppendUint32(b, n.salt.payload)
	b = le.AppendUint64(b, n.durable.number)
	b = le.AppendUint32(b, uint32(n.durable.off))
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeNewest returns what b says; ok is false if that is nothing.
func decodeNewest(b []byte) (n newest, ok bool) {
	le := binary.LittleEndian
	if len(b) != newestSize && len(b) != oldNewestSize {
		return n, false
	}
	if end := len(b) - 4; le.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		if len(b) == newestSize { // what an older program has written over one, as far as it goes
			return decodeNewest(b[:oldNewestSize])
		}
		return n, false
	}
	n.ordinal = le.Uint64(b)
	if len(b) == newestSize {
		n.salt = salt{header: le.Uint32(b[8:]), payload: le.Uint32(b[12:])}
		n.durable = landmark{number: le.Uint64(b[16:]), off: int64(le.Uint32(b[24:]))}
	}
	return n, true
}

// write puts it on disk, or at least into the file.
func (n newest) write(fs FS, sync bool) error {
	f, err := fs.Open(newestName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if err = writeAt(f, n.encode(), 0); err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readNewest returns what the file says, nothing if there is none. It is bad if it cannot be understood, as a crash may leave it.
func readNewest(fs FS) (n newest, bad bool, err error) {
	f, err := fs.Open(newestName, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return n, false, nil
	} else if err != nil {
		return n, false, err
	}
	defer f.Close()
	b := make([]byte, newestSize)
	size, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) { // not as if it said nothing: the log would then cut off what it does not know
		return n, false, fmt.Errorf("read %s: %w", newestName, err)
	}
	n, ok := decodeNewest(b[:size])
	return n, !ok && size == newestSize, nil
}
