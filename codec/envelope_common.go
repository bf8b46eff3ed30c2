package codec

import (
	"encoding/binary"
	"time"
)

// decodeCommon reads an envelope as Append writes nearly all: of this layout, its time after 1970, its strings below 256 bytes, its headers below 16. It
// reports false for what has another form, be it sound or not: that is up to decode, and *e then in between. What it takes sets every field.
//
// It needs no Scan, since it goes through the elements once, looks at no byte without knowing that it is there, and takes nothing that nests.
// Each of the functions below returns where the next element begins. Where its own has another form that is the end of the data, at which there is no
// element, so that it is enough to look at the last one.
func (e *Envelope) decodeCommon(data []byte, headers []Header) bool {
	if len(data) < 2 || data[0] != fixedArray|elemCount || data[1] != envelopeVersion {
		return false
	}
	at := commonID(data, 2, &e.ID)
	at = commonID(data, at, &e.CorrelationID)
	at = commonID(data, at, &e.CausationID)
	at = commonTime(data, at, &e.Time)
	if at >= len(data) || data[at] > 0x7f {
		return false
	}
	e.SchemaVersion = uint32(data[at])
	at = e.commonNames(data, at+1)
	if e.Headers = headers; at < len(data) && data[at] == fixedMap {
		return e.commonBody(data, at+1)
	}
	return e.commonBody(data, e.commonHeaders(data, at))
}

func commonID(data []byte, at int, id *ID) int {
	if rest := data[at:]; len(rest) >= 2+len(id) && rest[0] == codeBin8 && rest[1] == byte(len(id)) {
		*id = ID(rest[2:])
		return at + 2 + len(id)
	} else if len(rest) > 0 && rest[0] == codeNil {
		*id = ID{}
		return at + 1
	}
	return len(data)
}

func commonTime(data []byte, at int, t *time.Time) int {
	if rest := data[at:]; len(rest) >= 10 && rest[0] == codeFixExt8 && rest[1] == extTimestamp {
		if stamp := binary.BigEndian.Uint64(rest[2:]); stamp>>timestamp64Secs < 1e9 {
			*t = timeOf(stamp)
			return at + 10
		}
	} else if len(rest) > 0 && rest[0] == codeNil {
		*t = time.Time{}
		return at + 1
	}
	return len(data)
}

// timeOf returns the time of a timestamp of 8 bytes.
func timeOf(stamp uint64) time.Time {
	return time.Unix(int64(stamp&(1<<timestamp64Secs-1)), int64(stamp>>timestamp64Secs)).UTC()
}

// commonString returns where a string lies, and the end of the data for what has another form.
func commonString(data []byte, at int) span {
	s := span{len(data), len(data)}
	if at >= len(data) {
		return s
	}
	if c := data[at]; c&0xe0 == fixedStr {
		s.from = at + 1
		s.to = s.from + int(c&0x1f)
	} else if c == codeStr8 && at+1 < len(data) {
		s.from = at + 2
		s.to = s.from + int(data[at+1])
	}
	if s.to > len(data) {
		s = span{len(data), len(data)}
	}
	return s
}

func (e *Envelope) commonNames(data []byte, at int) int {
	var bounds [3]span
	end := at
	for i := range bounds {
		s := commonString(data, end)
		bounds[i], end = span{s.from - at, s.to - at}, s.to
	}
	if end == len(data) { // where a body should be
		return end
	}
	n := namesIn(data[at:end], bounds)
	if n == nil {
		return len(data)
	}
	e.Type, e.Source, e.Codec = n.kind, n.source, n.coding
	return end
}

// commonHeaders copies the text of all headers at once: 30 strings of 255 bytes at most.
func (e *Envelope) commonHeaders(data []byte, at int) int {
	if at >= len(data) || data[at]&0xf0 != fixedMap {
		return len(data)
	}
	var bounds [2 * 15]span
	n := int(data[at] & 0x0f)
	end := at + 1
	for i := range 2 * n {
		s := commonString(data, end)
		bounds[i], end = span{s.from - at, s.to - at}, s.to
	}
	if end == len(data) {
		return end
	}
	text := string(data[at:end])
	if n > cap(e.Headers) {
		e.Headers = make([]Header, 0, n)
	}
	for i := range n {
		e.Headers = append(e.Headers, Header{Key: bounds[2*i].of(text), Value: bounds[2*i+1].of(text)})
	}
	if e.checkHeaders() != nil {
		return len(data)
	}
	return end
}

// commonBody reads the last element.
func (e *Envelope) commonBody(data []byte, at int) (ok bool) {
	e.Body, ok = lastBin(data, at)
	return ok
}

// lastBin returns the binary that data[at:] is, capped so that appending to it copies.
func lastBin(data []byte, at int) (b []byte, ok bool) {
	size, from := -1, at
	switch rest := data[at:]; {
	case len(rest) >= 2 && rest[0] == codeBin8:
		size, from = int(rest[1]), at+2
	case len(rest) >= 3 && rest[0] == codeBin16:
		size, from = int(binary.BigEndian.Uint16(rest[1:])), at+3
	case len(rest) >= 5 && rest[0] == codeBin32:
		size, from = int(binary.BigEndian.Uint32(rest[1:])), at+5
	}
	if size != len(data)-from {
		return nil, false
	}
	return data[from:len(data):len(data)], true
}
