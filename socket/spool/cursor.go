package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// blockSize is what a cursor reads at a time: large enough that the call costs nothing per record, small
// enough for many readers.
const blockSize = 256 << 10

// badBytes is the error of a cursor for a region that holds no readable record. The cursor stands behind it.
type badBytes struct {
	from, to int64      // offsets of the first byte and of the one behind the last
	kind     recordKind // of the record, if just its payload is bad, else 0
	number   uint64     // of the message, if just its payload is bad, else 0
}

func (b *badBytes) Error() string {
	return fmt.Sprintf("bytes %d to %d are no record", b.from, b.to)
}

// cursor walks the records of one segment. It never believes a length that a sum does not cover and holds at
// most one block or one record.
type cursor struct {
	f      File
	salt   salt
	off    int64    // of the next record
	limit  int64    // bytes behind it are not looked at; may grow
	expect uint64   // the lowest number the next record may have
	known  landmark // all before it was durable: what is missing there is bad bytes, be it zeros or cut off
	buf    []byte   // a window of the file, or part of it
	bufOff int64
}

func newCursor(f File, h segmentHeader, limit int64) *cursor {
	return &cursor{f: f, salt: h.salt, off: dataStart, limit: limit, expect: h.base}
}

// view returns n bytes at off, valid until the next call; io.EOF if the limit cuts them off.
func (c *cursor) view(off int64, n int) ([]byte, error) {
	if off+int64(n) > c.limit {
		return nil, io.EOF
	}
	if i := off - c.bufOff; i >= 0 && i+int64(n) <= int64(len(c.buf)) {
		return c.buf[i : i+int64(n)], nil
	}
	size := int(min(int64(max(n, blockSize)), c.limit-off))
	if cap(c.buf) < size || cap(c.buf) > blockSize && size <= blockSize { // one large message must not stay
		c.buf = make([]byte, size)
	}
	c.bufOff, c.buf = off, c.buf[:size]
	got, err := c.f.ReadAt(c.buf, off)
	if got < size {
		c.buf = c.buf[:got]
	}
	if errors.Is(err, io.EOF) && got < size {
		c.limit = off + int64(got) // the file is shorter than it was said to be
	}
	if got >= n {
		return c.buf[:n], nil
	}
	return nil, err
}

// next returns the next record; its payload is valid until the call after. The error is io.EOF at the limit or
// when only zeros follow, a *badBytes for a region that is skipped, or that of the disk.
func (c *cursor) next() (record, int64, error) {
	at := c.off
	r, size, err := c.parse(at)
	switch {
	case err == nil:
		c.off = at + size
		c.advance(r)
		return r, at, nil
	case size > 0: // the header is sound, its payload is not
		c.off = at + size
		c.advance(r)
		bad := &badBytes{from: at, to: c.off, kind: r.kind}
		if r.kind.isMessage() {
			bad.number = r.number
		}
		return record{}, at, bad
	case errors.As(err, new(*badBytes)), errors.Is(err, io.EOF) && at < c.known.off:
		return c.resync(at)
	}
	return record{}, at, err
}

func (c *cursor) advance(r record) {
	c.expect = r.number
	if r.kind.isMessage() {
		c.expect++
	}
}

// parse reads the record at off. A size with a *badBytes means that the header was sound.
func (c *cursor) parse(off int64) (record, int64, error) {
	if off >= c.limit {
		return record{}, 0, io.EOF
	}
	head, err := c.view(off, recordHeader)
	if errors.Is(err, io.EOF) {
		return record{}, 0, &badBytes{from: off}
	} else if err != nil {
		return record{}, 0, err
	}
	r, n, sum, ok := c.salt.parseHeader(head)
	if !ok || r.number < c.expect {
		return record{}, 0, &badBytes{from: off}
	}
	size := recordSize(n)
	whole, err := c.view(off, recordHeader+n) // the padding may be cut off: it says nothing
	if errors.Is(err, io.EOF) {
		return record{}, 0, &badBytes{from: off}
	} else if err != nil {
		return record{}, 0, err
	}
	r.payload = whole[recordHeader:len(whole):len(whole)]
	if crc32.Checksum(r.payload, castagnoli) != sum {
		return r, size, &badBytes{from: off}
	}
	return r, size, nil
}

// resync looks for the next whole record behind at. If there is none the region ends at the last byte that is
// not zero, and if there is no such byte it was the end.
func (c *cursor) resync(at int64) (record, int64, error) {
	last := at
	for off := at; ; off += paddingMask + 1 {
		word, err := c.view(off, paddingMask+1)
		if errors.Is(err, io.EOF) {
			if c.tailOf(off) {
				last = c.limit
			}
			break
		} else if err != nil {
			return record{}, at, err
		}
		if binary.LittleEndian.Uint64(word) == 0 { // no record begins with zeros
			continue
		}
		last = off + paddingMask + 1
		if off == at {
			continue
		}
		if _, _, err := c.parse(off); err == nil {
			c.off = off
			return record{}, at, &badBytes{from: at, to: off}
		} else if !errors.As(err, new(*badBytes)) && !errors.Is(err, io.EOF) {
			return record{}, at, err
		}
	}
	c.off, last = max(c.limit, c.known.off), max(last, c.known.off)
	if last == at {
		return record{}, at, io.EOF
	}
	return record{}, at, &badBytes{from: at, to: last}
}

// tailOf reports whether one of the last bytes, too few for a word, is not zero.
func (c *cursor) tailOf(off int64) bool {
	for ; off < c.limit; off++ {
		if b, err := c.view(off, 1); err != nil || b[0] != 0 {
			return err == nil
		}
	}
	return false
}
