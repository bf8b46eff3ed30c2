package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// An envelope is a MessagePack array. Its elements, in this order for ever:
//
//	    code     element         form
//	    +------+
//	    | 0x9b |                 array of 11 (a later version may have more)
//	    +------+-----------+
//	 0  | 0x01 | version   |     integer: the layout, see below
//	    +------+------+----+
//	 1  | 0xc4 | 0x10 | 16 |     id: binary of 16 bytes, or nil (0xc0) for none
//	 2  | 0xc4 | 0x10 | 16 |     correlation id: likewise
//	 3  | 0xc4 | 0x10 | 16 |     causation id: likewise
//	    +------+------+----+
//	 4  | 0xd7 | 0xff |  8 |     time: timestamp extension, or nil for none
//	    +------+------+----+
//	 5  | n           |          schema version: integer up to 2^32-1
//	    +-------------+----+
//	 6  | length      | .. |     type: string of at most MaxName bytes
//	 7  | length      | .. |     source: likewise
//	 8  | length      | .. |     codec: likewise
//	    +-------------+----+
//	 9  | count       | .. |     headers: map of string to string
//	    +-------------+----+
//	10  | length      | .. |     body: binary
//	    +-------------+----+
//
// Evolution: later versions add elements at the end. A reader skips those it
// does not know, and takes those that are not there, and any that are nil, as
// zero. That changes nothing in version, which is raised only if an earlier
// reader must not read on. Fixed sizes come first so that the strings lie
// together: the reader copies them at once.
const (
	elemVersion = iota
	elemID
	elemCorrelationID
	elemCausationID
	elemTime
	elemSchemaVersion
	elemType
	elemSource
	elemCodec
	elemHeaders
	elemBody
	elemCount
)

// envelopeVersion is the one layout there has been.
const envelopeVersion = 1

// MessagePack codes that this package writes.
const (
	codeNil         = 0xc0
	codeFalse       = 0xc2
	codeTrue        = 0xc3
	codeBin8        = 0xc4
	codeBin16       = 0xc5
	codeBin32       = 0xc6
	codeExt8        = 0xc7
	codeFloat32     = 0xca
	codeFloat64     = 0xcb
	codeUint8       = 0xcc
	codeUint16      = 0xcd
	codeUint32      = 0xce
	codeUint64      = 0xcf
	codeInt8        = 0xd0
	codeInt16       = 0xd1
	codeInt32       = 0xd2
	codeInt64       = 0xd3
	codeFixExt4     = 0xd6
	codeFixExt8     = 0xd7
	codeStr8        = 0xd9
	codeStr16       = 0xda
	codeStr32       = 0xdb
	codeMap16       = 0xde
	fixedStr        = 0xa0
	fixedMap        = 0x80
	fixedArray      = 0x90
	extTimestamp    = 0xff // -1
	timestamp64Secs = 34   // bits of seconds in the 8-byte timestamp
)

// Append appends the encoding of e to dst and returns the extended slice; it
// allocates only to grow it, at most once. It copies Body. An envelope over a
// limit of this package is an ErrLimit, one with invalid UTF-8, an empty or a
// repeated header key an ErrMalformed; dst is then returned as it was.
func (e *Envelope) Append(dst []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, e.maxSize())
	dst = append(dst, fixedArray|elemCount, envelopeVersion)
	dst = appendID(dst, e.ID)
	dst = appendID(dst, e.CorrelationID)
	dst = appendID(dst, e.CausationID)
	dst = appendTime(dst, e.Time)
	return appendBin(e.appendMiddle(dst), e.Body), nil
}

// appendMiddle appends the elements that a Stencil has: those between time and body.
func (e *Envelope) appendMiddle(dst []byte) []byte {
	dst = appendUint32(dst, e.SchemaVersion)
	dst = appendString(dst, e.Type)
	dst = appendString(dst, e.Source)
	dst = appendString(dst, e.Codec)
	dst = appendMapLen(dst, len(e.Headers))
	for i := range e.Headers {
		dst = appendString(dst, e.Headers[i].Key)
		dst = appendString(dst, e.Headers[i].Value)
	}
	return dst
}

// maxSize is at least the size of the encoding: 2 bytes of array and version, 3
// ids of 18, the longest timestamp of 15, the schema version of 5, string headers
// of at most 3 bytes, the map's of 3, the body's of 5.
func (e *Envelope) maxSize() int {
	n := 2 + 3*18 + 15 + 5 + 3*3 + 3 + 5
	n += len(e.Type) + len(e.Source) + len(e.Codec) + len(e.Body)
	for i := range e.Headers {
		n += 6 + len(e.Headers[i].Key) + len(e.Headers[i].Value)
	}
	return n
}

func appendID(dst []byte, id ID) []byte {
	if id.IsZero() {
		return append(dst, codeNil)
	}
	dst = append(dst, codeBin8, byte(len(id)))
	return append(dst, id[:]...)
}

// appendTime writes the 8-byte timestamp, good from 1970 to 2514, and the 12-byte
// one for other times.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, codeNil)
	}
	return appendLongTimestamp(dst, t)
}

// appendLongTimestamp writes either, also for the zero time.
func appendLongTimestamp(dst []byte, t time.Time) []byte {
	secs, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	if secs>>timestamp64Secs == 0 {
		dst = append(dst, codeFixExt8, extTimestamp)
		return binary.BigEndian.AppendUint64(dst, nanos<<timestamp64Secs|secs)
	}
	dst = append(dst, codeExt8, 12, extTimestamp)
	dst = binary.BigEndian.AppendUint32(dst, uint32(nanos))
	return binary.BigEndian.AppendUint64(dst, secs)
}

func appendUint32(dst []byte, n uint32) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, codeUint16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeUint32), n)
}

// appendString is for strings of less than 4 GiB.
func appendString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, fixedStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, codeStr8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, codeStr16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, codeStr32), uint32(n))
	}
	return append(dst, s...)
}

func appendMapLen(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, fixedMap|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(dst, codeMap16), uint16(n))
}

// appendBin is for binaries of less than 4 GiB.
func appendBin(dst, b []byte) []byte {
	switch n := len(b); {
	case n <= math.MaxUint8:
		dst = append(dst, codeBin8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, codeBin16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, codeBin32), uint32(n))
	}
	return append(dst, b...)
}
