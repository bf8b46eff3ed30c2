package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"unsafe"
)

// Stencil is what envelopes have in common that differ only in ids, time and body: those of one type, by one source. It writes them, and knows
// them when they come, at a fraction of what others cost. It is safe for use by any number of goroutines. The zero
// Stencil knows no envelope.
type Stencil struct {
	middle string   // the elements from the schema version to the headers, as they are on the wire
	first  string   // all but the body of one that begins a conversation, id and time left blank
	like   Envelope // without what is each one's own
	codec  Codec
	bound  binding
	bursts *bursts
}

// Mark is the ID of an envelope and its time.
type Mark struct {
	id    ID
	stamp uint64 // that of the timestamp
}

// Links are the other IDs of an envelope. The zero Links are those of one that begins a conversation.
type Links struct{ correlation, causation ID }

// IsZero reports whether l are the zero Links.
func (l *Links) IsZero() bool { return l.correlation.IsZero() && l.causation.IsZero() }

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
	s := Stencil{middle: string(e.appendMiddle(nil)), codec: c, bound: bind(c, t), bursts: new(bursts)}
	s.like = Envelope{SchemaVersion: e.SchemaVersion, Type: e.Type, Source: e.Source, Codec: e.Codec, Headers: slices.Clone(e.Headers)}
	s.first = string(s.appendStart(nil, &Mark{id: ID{1}}, &Links{})) // any but zero, which is shorter
	return s, nil
}

// IsZero reports whether s is the zero Stencil.
func (s *Stencil) IsZero() bool { return s.middle == "" }

// Append appends an envelope with a new ID, the time it is now, and v as body. Where one comes right after the other up to 16 bear one
// time, a millisecond old at most, a time slice more where all processors are busy, or as old as a stop of the process or the machine between them. Without a
// correlation it begins a conversation. It is for Stencils that NewStencil has returned. When the codec fails the error is its own, and dst is returned as it was.
func (s *Stencil) Append(dst []byte, correlation, causation ID, v any) ([]byte, error) {
	out := s.begin(dst, correlation, causation)
	spare := spareFor(dst)
	out = append(out, room[:spare]...)
	from := len(out)
	if known, ok := s.bound.append(out, v); ok {
		return closeBin(dst, known, from, spare)
	}
	out, err := s.codec.Append(out, v)
	if err != nil {
		return dst, err
	}
	return closeBin(dst, out, from, spare)
}

// spareFor returns how many bytes to leave before a body for a header longer than the shortest. Where there is much room, a large
// message was before, and another may come: all of its body would have to move.
func spareFor(dst []byte) int {
	if cap(dst)-len(dst) > math.MaxUint16 {
		return len(room)
	}
	return 0
}

// room is what the longest header of a binary has more than the shortest.
var room [3]byte

// AppendValue is Stencil.Append for a value of the type that NewStencil was given, not a pointer to it. It reports false, and has taken no ID, where it cannot
// write that: types with pointers and maps are among those. Unlike Append it lets dst and the value stay on the stack of its caller.
//
// The message belongs to the conversation that parent does, which may be nil: it then begins one.
func AppendValue[T any](s *Stencil, dst []byte, parent *Envelope, v *T) (out []byte, ok bool) {
	if s.bound.sequence == nil || v == nil || reflect.TypeOf(v) != s.bound.pointer {
		return dst, false
	}
	return s.appendValue(dst, parent, unsafe.Pointer(v))
}

func (s *Stencil) appendValue(dst []byte, parent *Envelope, v unsafe.Pointer) (out []byte, ok bool) {
	if parent == nil {
		out = s.beginFirst(dst)
	} else {
		out = s.begin(dst, parent.Conversation(), parent.ID)
	}
	from := len(out)
	if out, ok = s.bound.sequence.append(out, v); !ok {
		return dst, false
	}
	out, err := closeBin(dst, out, from, 0)
	return out, err == nil
}

// begin appends all but the body, of which it leaves the header to closeBin.
func (s *Stencil) begin(dst []byte, correlation, causation ID) []byte {
	if correlation.IsZero() && causation.IsZero() {
		return s.beginFirst(dst)
	}
	stamp, timestamp := s.bursts.draw()
	mark, links := Mark{makeID(stamp, rand.Uint64()), timestamp}, Links{correlation, causation}
	return s.appendStart(slices.Grow(dst, maxBefore+len(s.middle)), &mark, &links)
}

// beginFirst is begin for what begins a conversation, as most messages do. It is written in one piece.
func (s *Stencil) beginFirst(dst []byte) []byte {
	out := append(dst, s.first...)
	blank := out[len(dst):]
	stamp, timestamp := s.bursts.draw()
	putID(blank[firstID:], stamp, rand.Uint64())
	binary.BigEndian.PutUint64(blank[firstTime:], timestamp)
	return out
}

// Where in Stencil.first the blanks are.
const (
	firstID   = 2 + 2
	firstTime = firstID + 16 + 1 + 1 + 2
)

func (s *Stencil) appendStart(out []byte, m *Mark, l *Links) []byte {
	out = append(out, fixedArray|elemCount, envelopeVersion)
	out = appendID(out, m.id)
	out = appendID(out, l.correlation)
	out = appendID(out, l.causation)
	out = append(out, codeFixExt8, extTimestamp)
	out = binary.BigEndian.AppendUint64(out, m.stamp)
	out = append(out, s.middle...)
	return append(out, codeBin8, 0)
}

// maxBefore is the most bytes before the middle, and the 2 of the body's header: 2 of array and version, 3 ids of 18, a timestamp of 10.
const maxBefore = 2 + 3*18 + 10 + 2

// closeBin completes the header of the binary out[from:], of which there are two bytes and the spare ones. The binary moves if that is not what it takes.
func closeBin(dst, out []byte, from, spare int) ([]byte, error) {
	n := len(out) - from
	code, more := byte(codeBin8), 0
	switch {
	case n <= math.MaxUint8 && spare == 0:
		out[from-1] = byte(n)
		return out, nil
	case n <= math.MaxUint8:
	case n <= math.MaxUint16:
		code, more = codeBin16, 1
	case uint64(n) <= math.MaxUint32:
		code, more = codeBin32, 3
	default:
		return dst, fmt.Errorf("envelope body: %w: %d bytes, want at most %d", ErrLimit, n, uint32(math.MaxUint32))
	}
	start := from - spare - 2
	if more > spare {
		out = slices.Insert(out, from, room[:more-spare]...)
	} else if more < spare {
		out = slices.Delete(out, start+2+more, from)
	}
	out[start] = code
	switch size := out[start+1:]; code {
	case codeBin8:
		size[0] = byte(n)
	case codeBin16:
		binary.BigEndian.PutUint16(size, uint16(n))
	default:
		binary.BigEndian.PutUint32(size, uint32(n))
	}
	return out, nil
}

// Read reads what an envelope that was written with this Stencil has of its own, and returns its body, a part of data. It reports false for any other, which may
// be as good, and for what is no envelope: both are for Decode, and m and l are then in between.
func (s *Stencil) Read(data []byte, m *Mark, l *Links) (body []byte, ok bool) {
	if len(data) < 2 || data[0] != fixedArray|elemCount || data[1] != envelopeVersion {
		return nil, false
	}
	at := commonID(data, 2, &m.id)
	at = commonID(data, at, &l.correlation)
	at = commonID(data, at, &l.causation)
	if rest := data[at:]; len(rest) < 10 || rest[0] != codeFixExt8 || rest[1] != extTimestamp {
		return nil, false
	}
	m.stamp = binary.BigEndian.Uint64(data[at+2:])
	at += 10
	end := at + len(s.middle)
	if m.stamp>>timestamp64Secs >= 1e9 || end == at || end > len(data) || string(data[at:end]) != s.middle {
		return nil, false
	}
	return lastBin(data, end)
}

// Envelope returns the envelope that Read has read, without its body. Its Headers are the Stencil's, and not to be changed.
func (s *Stencil) Envelope(m *Mark, l *Links) *Envelope {
	e := s.like
	e.ID, e.CorrelationID, e.CausationID, e.Time = m.id, l.correlation, l.causation, timeOf(m.stamp)
	return &e
}
