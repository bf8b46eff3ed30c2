package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// Stencil is what envelopes have in common that differ only in ids, time and body: those of one type, by one source. It writes them, and knows
// them when they come, at a fraction of what others cost. It never changes, and is safe for use by any number of goroutines. The zero
// Stencil knows no envelope.
type Stencil struct {
	middle string // the elements from the schema version to the headers, as they are on the wire
	codec  Codec
	bound  binding
}

// NewStencil returns the Stencil of envelopes with the SchemaVersion, Type, Source and Headers of e, and with bodies that c writes, mostly of values of type t or
// pointers to them, which may be nil. The errors are those of Envelope.Append.
func NewStencil(e *Envelope, c Codec, t reflect.Type) (Stencil, error) {
	like := *e
	like.Codec = c.Name()
	return newStencil(&like, c, t)
}

// StencilOf returns the Stencil by which e may have been written, to know more of its kind by. The errors are those of Envelope.Append.
func StencilOf(e *Envelope) (Stencil, error) { return newStencil(e, nil, nil) }

func newStencil(e *Envelope, c Codec, t reflect.Type) (Stencil, error) {
	if err := e.check(); err != nil {
		return Stencil{}, err
	}
	return Stencil{string(e.appendMiddle(nil)), c, bind(c, t)}, nil
}

// IsZero reports whether s is the zero Stencil.
func (s *Stencil) IsZero() bool { return s.middle == "" }

// Append appends an envelope with a new ID, the time it is now, and v as body. A correlation of zero stands for the new ID: it begins a conversation. It is for
// Stencils that NewStencil has returned. When the codec fails the error is its own, and dst is returned as it was.
func (s *Stencil) Append(dst []byte, correlation, causation ID, v any) ([]byte, error) {
	time := nanos()
	id := newID(time)
	if correlation.IsZero() {
		correlation = id
	}
	out := slices.Grow(dst, maxBefore+len(s.middle))
	out = append(out, fixedArray|elemCount, envelopeVersion)
	out = appendID(out, id)
	out = appendID(out, correlation)
	out = appendID(out, causation)
	out = append(out, codeFixExt8, extTimestamp)
	out = binary.BigEndian.AppendUint64(out, uint64(time%1e9)<<timestamp64Secs|uint64(time/1e9))
	out = append(out, s.middle...)
	out = append(out, codeBin8, 0)
	from := len(out)
	if known, ok := s.bound.append(out, v); ok {
		return closeBin(dst, known, from)
	}
	out, err := s.codec.Append(out, v)
	if err != nil {
		return dst, err
	}
	return closeBin(dst, out, from)
}

// maxBefore is the most bytes before the middle, and the 2 of the body's header: 2 of array and version, 3 ids of 18, a timestamp of 10.
const maxBefore = 2 + 3*18 + 10 + 2

// closeBin completes the header of two bytes before the binary out[from:], in whose place it puts a longer one if need be.
func closeBin(dst, out []byte, from int) ([]byte, error) {
	n := len(out) - from
	if n <= math.MaxUint8 {
		out[from-1] = byte(n)
		return out, nil
	}
	if uint64(n) > math.MaxUint32 {
		return dst, fmt.Errorf("envelope body: %w: %d bytes, want at most %d", ErrLimit, n, uint32(math.MaxUint32))
	}
	if n <= math.MaxUint16 {
		out = slices.Insert(out, from, 0)
		out[from-2] = codeBin16
		binary.BigEndian.PutUint16(out[from-1:], uint16(n))
		return out, nil
	}
	out = slices.Insert(out, from, 0, 0, 0)
	out[from-2] = codeBin32
	binary.BigEndian.PutUint32(out[from-1:], uint32(n))
	return out, nil
}

// Body returns the body of an envelope that was written with this Stencil, a part of data. It reports false for any other, which may
// be as good, and for what is no envelope: both are for Decode.
func (s *Stencil) Body(data []byte) (body []byte, ok bool) {
	if len(data) < 2 || data[0] != fixedArray|elemCount || data[1] != envelopeVersion {
		return nil, false
	}
	at := 2
	for range 3 {
		at = skipID(data, at)
	}
	if rest := data[at:]; len(rest) < 10 || rest[0] != codeFixExt8 || rest[1] != extTimestamp || binary.BigEndian.Uint64(rest[2:])>>timestamp64Secs >= 1e9 {
		return nil, false
	}
	at += 10
	end := at + len(s.middle)
	if end == at || end > len(data) || string(data[at:end]) != s.middle {
		return nil, false
	}
	return lastBin(data, end)
}

// skipID returns where the id at data[at:] ends, the end of the data for what has another form.
func skipID(data []byte, at int) int {
	if rest := data[at:]; len(rest) >= 18 && rest[0] == codeBin8 && rest[1] == 16 {
		return at + 18
	} else if len(rest) > 0 && rest[0] == codeNil {
		return at + 1
	}
	return len(data)
}
