package codec

import (
	"encoding/binary"
	"math"
	"reflect"
	"time"
)

// noForm is where a value ends that has another form than its shape is written in.
const noForm = -1

// read reads the value at data[at:] into v, and returns where it ends, or noForm: v is then in between, and data for the library to read. It needs no Scan: it
// looks at no byte without knowing that it is there, allocates nothing that has not come, and nests no deeper than the type.
func (s *shape) read(data []byte, at int, v reflect.Value, in *arena) int {
	if at >= len(data) {
		return noForm
	}
	switch s.kind {
	case reflect.Struct:
		return s.readStruct(data, at, v, in)
	case reflect.Invalid:
		t, end := timestamp(data, at)
		if end != noForm {
			*v.Addr().Interface().(*time.Time) = t
		}
		return end
	case reflect.Slice:
		b, end := payloadOrNil(data, at)
		if end != noForm {
			v.SetBytes(replace(v.Bytes(), b, in))
		}
		return end
	}
	return readScalar(data, at, s.kind, v)
}

// readScalar reads what is neither a struct, a time nor bytes, by the kind that its shape has. There is a byte at data[at].
func readScalar(data []byte, at int, k reflect.Kind, v reflect.Value) int {
	switch k {
	case reflect.String:
		b, end := payload(data, at, kindStr)
		if end != noForm {
			v.SetString(string(b))
		}
		return end
	case reflect.Int64:
		n, end := integer(data, at)
		if end != noForm {
			v.SetInt(int64(n))
		}
		return end
	case reflect.Uint64:
		n, end := integer(data, at)
		if end != noForm {
			v.SetUint(n)
		}
		return end
	case reflect.Bool:
		if c := data[at]; c == codeTrue || c == codeFalse {
			v.SetBool(c == codeTrue)
			return at + 1
		}
		return noForm
	}
	f, end := float(data, at, k)
	if end != noForm {
		v.SetFloat(f)
	}
	return end
}

// readStruct reads fields in any order; those that are not there stay as they are.
func (s *shape) readStruct(data []byte, at int, v reflect.Value, in *arena) int {
	count, at := pairs(data, at)
	if count > len(s.fields) {
		return noForm
	}
	next := 0 // the field that is expected
	for range count {
		f := s.at(data, at, next)
		if f == noForm {
			return noForm
		}
		field := &s.fields[f]
		if at = field.shape.read(data, at+len(field.key), v.Field(field.index), in); at == noForm {
			return noForm
		}
		next = f + 1
	}
	return at
}

// pairs returns how many pairs the map at data[at:] has, too many for any if it is none, and where they begin.
func pairs(data []byte, at int) (count, from int) {
	if c := data[at]; c&0xf0 == fixedMap { // most
		return int(c & 0x0f), at + 1
	}
	t, err := readToken(data, at)
	if err != nil || t.kind != kindMap {
		return math.MaxInt, at
	}
	return t.values / 2, t.end
}

// at returns the field whose key is at data[at:].
func (s *shape) at(data []byte, at, next int) int {
	rest := data[at:]
	for i := range s.fields {
		f := next + i
		if f >= len(s.fields) {
			f -= len(s.fields)
		}
		if key := s.fields[f].key; len(rest) >= len(key) && string(rest[:len(key)]) == key {
			return f
		}
	}
	return noForm
}

// replace returns a copy of b, nil for nil, in the memory of old where that has room.
func replace(old, b []byte, in *arena) []byte {
	if b == nil {
		return nil
	}
	if old == nil || cap(old) < len(b) {
		return in.copy(b)
	}
	return old[:copy(old[:len(b)], b)]
}

// payload returns what is in the string or binary at data[at:].
func payload(data []byte, at int, want kind) (b []byte, end int) {
	if rest := data[at:]; len(rest) >= 2 && want == kindBin && rest[0] == codeBin8 { // most
		if n := 2 + int(rest[1]); n <= len(rest) {
			return rest[2:n], at + n
		}
		return nil, noForm
	}
	t, err := readToken(data, at)
	if err != nil || t.kind != want {
		return nil, noForm
	}
	return data[t.body:t.end], t.end
}

// payloadOrNil returns what is in the binary at data[at:], nil only where nil is there.
func payloadOrNil(data []byte, at int) (b []byte, end int) {
	if data[at] == codeNil {
		return nil, at + 1
	}
	return payload(data, at, kindBin)
}

// integer returns the integer at data[at:], a negative one as int64 has it.
func integer(data []byte, at int) (n uint64, end int) {
	t, err := readToken(data, at)
	if err != nil || t.kind != kindInt {
		return 0, noForm
	}
	c, b := data[at], data[t.body:t.end]
	for _, digit := range b {
		n = n<<8 | uint64(digit)
	}
	if signed := c < codeUint8 || c >= codeInt8; signed {
		unused := 64 - 8*len(b)
		n = uint64(int64(n<<unused) >> unused)
	}
	return n, t.end
}

// float returns the number at data[at:]. One of eight bytes is none for a Float32.
func float(data []byte, at int, k reflect.Kind) (f float64, end int) {
	switch rest := data[at:]; {
	case rest[0] == codeFloat32 && len(rest) >= 5:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(rest[1:]))), at + 5
	case rest[0] == codeFloat64 && len(rest) >= 9 && k == reflect.Float64:
		return math.Float64frombits(binary.BigEndian.Uint64(rest[1:])), at + 9
	}
	return 0, noForm
}

// timestamp returns the time at data[at:].
func timestamp(data []byte, at int) (tm time.Time, end int) {
	t, err := readToken(data, at)
	if err != nil || t.kind != kindExt || data[t.body-1] != extTimestamp {
		return tm, noForm
	}
	var secs, nanos uint64
	switch b := data[t.body:t.end]; len(b) {
	case 4:
		secs = uint64(binary.BigEndian.Uint32(b))
	case 8:
		n := binary.BigEndian.Uint64(b)
		secs, nanos = n&(1<<timestamp64Secs-1), n>>timestamp64Secs
	case 12:
		secs, nanos = binary.BigEndian.Uint64(b[4:]), uint64(binary.BigEndian.Uint32(b))
	default:
		return tm, noForm
	}
	tm = time.Unix(int64(secs), int64(nanos))
	if tm.IsZero() {
		tm = tm.UTC()
	}
	return tm, t.end
}
