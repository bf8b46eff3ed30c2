package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// maxText bounds the part of an envelope that holds its strings, headers of
// values included: what is copied before each string's own limit is checked.
const maxText = 3*(5+MaxName) + 5 + MaxHeaders*2*5 + MaxHeaderBytes

// Decode reads an envelope from data, which must hold one and nothing after it,
// and replaces all of *e. Body is a part of data and valid as long as data is;
// everything else is copied. Names take one allocation, or none where messages before
// had the same; headers take one for their text and, unless e.Headers has room
// (which is used again), one more.
//
// Bytes that are not an envelope are an ErrMalformed, one over a limit of this
// package an ErrLimit, one of another layout an ErrVersion; *e is then zero.
// Elements that a later version has added are skipped.
func (e *Envelope) Decode(data []byte) error {
	headers := e.Headers[:0]
	if e.decodeCommon(data, headers) {
		return nil
	}
	*e = Envelope{}
	err := e.decode(data, headers)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		*e = Envelope{}
	}
	return err
}

func (e *Envelope) decode(data []byte, headers []Header) error {
	if err := Scan(data, Limits{}); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	c := &cursor{data: data}
	count := c.next(kindArray).values
	if c.err == nil && count == 0 {
		c.fail(0, "no elements, want a version")
	}
	for i := 0; i < count && i < elemCount && c.err == nil; i++ {
		e.decodeElement(c, i, count, headers)
	}
	if c.err != nil {
		return fmt.Errorf("envelope: %w", c.err)
	}
	return nil
}

// decodeElement reads element i of count.
func (e *Envelope) decodeElement(c *cursor, i, count int, headers []Header) {
	switch i {
	case elemVersion:
		if v := c.uint(); c.err == nil && v != envelopeVersion {
			c.err = fmt.Errorf("%w %d: want %d", ErrVersion, v, envelopeVersion)
		}
	case elemID:
		e.ID = c.id()
	case elemCorrelationID:
		e.CorrelationID = c.id()
	case elemCausationID:
		e.CausationID = c.id()
	case elemTime:
		e.Time = c.time()
	case elemSchemaVersion:
		e.SchemaVersion = c.uint()
	case elemType:
		c.copyText(min(count, elemHeaders) - elemType)
		e.Type = c.string()
	case elemSource:
		e.Source = c.string()
	case elemCodec:
		e.Codec = c.string()
	case elemHeaders:
		if c.headed() {
			c.copyText(1)
		}
		e.Headers = c.headers(headers)
	case elemBody:
		e.Body = c.bytes()
	}
}

// cursor walks the values of scanned data. After a value of the wrong kind err
// is set, and its other methods return zero values.
type cursor struct {
	data []byte
	at   int
	err  error

	text   string // copy of the bytes that hold strings
	textAt int    // where in data it begins
	texts  int    // how many bytes were copied
}

// next returns the token at the cursor and moves past it. Nil is taken for
// every kind; it has neither payload nor values.
func (c *cursor) next(want kind) token {
	if c.err != nil {
		return token{}
	}
	t, err := readToken(c.data, c.at)
	if err == nil && t.kind != want && t.kind != kindNil {
		err = malformed(c.at, "%s, want %s", t.kind, want)
	}
	if err != nil {
		c.err = err
		return token{}
	}
	c.at = t.end
	return t
}

func (c *cursor) fail(at int, format string, args ...any) {
	c.err = malformed(at, format, args...)
}

// uint reads an integer from 0 to 2^32-1 in any of its forms.
func (c *cursor) uint() uint32 {
	at := c.at
	t := c.next(kindInt)
	if t.kind != kindInt {
		return 0
	}
	n := uint64(0)
	for _, b := range c.data[t.body:t.end] {
		n = n<<8 | uint64(b)
	}
	code := c.data[at]
	negative := code >= 0xe0 || code >= 0xd0 && c.data[t.body] >= 0x80
	if negative || n > math.MaxUint32 {
		c.fail(at, "integer out of range, want 0 to %d", uint32(math.MaxUint32))
		return 0
	}
	return uint32(n)
}

func (c *cursor) id() (id ID) {
	at := c.at
	t := c.next(kindBin)
	if t.kind != kindBin {
		return ID{}
	}
	if copy(id[:], c.data[t.body:t.end]) != len(id) || t.end-t.body != len(id) {
		c.fail(at, "id of %d bytes, want %d", t.end-t.body, len(id))
	}
	return id
}

// time reads the three forms of the timestamp extension.
func (c *cursor) time() time.Time {
	at := c.at
	t := c.next(kindExt)
	if t.kind != kindExt {
		return time.Time{}
	}
	var secs, nanos uint64
	b := c.data[t.body:t.end]
	switch {
	case c.data[t.body-1] != extTimestamp:
		c.fail(at, "extension of type %d, want timestamp, -1", int8(c.data[t.body-1]))
	case len(b) == 4:
		secs = uint64(binary.BigEndian.Uint32(b))
	case len(b) == 8:
		n := binary.BigEndian.Uint64(b)
		secs, nanos = n&(1<<timestamp64Secs-1), n>>timestamp64Secs
	case len(b) == 12:
		secs, nanos = binary.BigEndian.Uint64(b[4:]), uint64(binary.BigEndian.Uint32(b))
	default:
		c.fail(at, "timestamp of %d bytes, want 4, 8 or 12", len(b))
	}
	if nanos >= 1e9 {
		c.fail(at, "timestamp of %d nanoseconds, want less than a second", nanos)
	}
	if c.err != nil {
		return time.Time{}
	}
	return time.Unix(int64(secs), int64(nanos)).UTC()
}

// copyText makes a string of the next n values. The strings read from them are
// parts of it.
func (c *cursor) copyText(n int) {
	if c.err != nil {
		return
	}
	end := skipValues(c.data, c.at, n)
	size := end - c.at
	if c.texts += size; c.texts > maxText {
		c.err = overLimit(c.at, "%d bytes of names and headers, want at most %d", c.texts, maxText)
		return
	}
	c.textAt = c.at
	c.text = string(c.data[c.at:end])
}

// headed reports whether there are headers.
func (c *cursor) headed() bool {
	return c.err == nil && c.at < len(c.data) && c.data[c.at] != 0x80 && c.data[c.at] != 0xc0 // an empty map, nil
}

func (c *cursor) string() string {
	t := c.next(kindStr)
	if t.kind != kindStr {
		return ""
	}
	return c.text[t.body-c.textAt : t.end-c.textAt]
}

// headers reads a map, into the memory of reuse if it has room.
func (c *cursor) headers(reuse []Header) []Header {
	at := c.at
	n := c.next(kindMap).values / 2
	if n > MaxHeaders {
		c.err = overLimit(at, "%d headers, want at most %d", n, MaxHeaders)
		return nil
	}
	if n > cap(reuse) {
		reuse = make([]Header, 0, n)
	}
	for range n {
		reuse = append(reuse, Header{Key: c.string(), Value: c.string()})
	}
	return reuse
}

// bytes returns a part of the data, capped so that appending to it copies.
func (c *cursor) bytes() []byte {
	t := c.next(kindBin)
	return c.data[t.body:t.end:t.end]
}
