package codec

import (
	"fmt"
	"io"
)

// errInsideExt is what a decoder gets that looks for a value inside an extension.
var errInsideExt = fmt.Errorf("%w: a map or string is wanted, an extension is there", ErrType)

// reader feeds scanned bytes to the msgpack decoder and keeps it on the values
// that Scan has seen.
//
// What is inside an extension is bytes to Scan, with counts and depths that nobody
// has checked, so no value may be read from there, whatever the destination asks
// for. A decoder reads the codes of values with ReadByte and payloads with Read:
// a ReadByte where a payload begins is refused. Scan refuses extensions without
// payload, which would make that place ambiguous.
type reader struct {
	data []byte
	pos  int
	ext  token // the next extension at or after pos; its body is len(data) if there is none
}

// reset starts reading data, whose first extension begins at firstExt.
func (r *reader) reset(data []byte, firstExt int) {
	*r = reader{data: data}
	r.seekExt(firstExt)
}

// seekExt finds the first extension among the tokens from at.
func (r *reader) seekExt(at int) {
	for at < len(r.data) {
		t, _ := readToken(r.data, at) // scanned: no error
		if t.kind == kindExt {
			r.ext = t
			return
		}
		at = t.end
	}
	r.ext = token{body: len(r.data), end: len(r.data)}
}

// Read is io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.pos == len(r.data) {
		return 0, io.EOF
	}
	n := copy(p, r.data[r.pos:])
	r.pos += n
	if r.pos >= r.ext.end {
		r.seekExt(r.ext.end)
	}
	return n, nil
}

// ReadByte is io.ByteReader.
func (r *reader) ReadByte() (byte, error) {
	if r.pos == len(r.data) {
		return 0, io.EOF
	}
	if r.pos == r.ext.body {
		return 0, errInsideExt
	}
	c := r.data[r.pos]
	r.pos++
	return c, nil
}

// UnreadByte is io.ByteScanner. The decoder calls it after ReadByte only.
func (r *reader) UnreadByte() error {
	if r.pos == 0 {
		return io.ErrUnexpectedEOF
	}
	r.pos--
	return nil
}
