package codec

import (
	"encoding/binary"
	"math"
	"reflect"
	"time"
	"unsafe"
)

// sequence is how values of a shape are written and read without recursion and without reflect.Value, at one comparison for all that is before a scalar: the scalars of a type lie
// in a row, each at an offset that the type has. The compiler can tell that it keeps nothing of what it writes and nowhere it reads to, so that callers may have both on their stack.
// It reads what it wrote, and no other form.
//
// Its methods trust that the pointer is to a value of the type that the sequence was made for. Their callers know that by their own types.
type sequence struct {
	steps []step
	after string // what is on the wire behind the last step
}

// step writes and reads what is not a struct.
type step struct {
	before string       // what is on the wire before it: heads of maps, and keys
	kind   reflect.Kind // that of the shape, so that numbers of all widths have one
	size   uintptr      // of a number
	offset uintptr
}

// sequence returns that of a shape, which is the shape of t.
func (s *shape) sequence(t reflect.Type) *sequence {
	q := &sequence{}
	q.add(s, t, 0)
	return q
}

func (q *sequence) add(s *shape, t reflect.Type, offset uintptr) {
	if s.kind != reflect.Struct {
		q.steps = append(q.steps, step{q.after, s.kind, t.Size(), offset})
		q.after = ""
		return
	}
	q.after = string(appendMapLen([]byte(q.after), len(s.fields)))
	for i := range s.fields {
		field := t.Field(s.fields[i].index)
		q.after += s.fields[i].key
		q.add(s.fields[i].shape, field.Type, offset+field.Offset)
	}
}

// append writes the value at v, unless something in it is longer than the format allows.
func (q *sequence) append(dst []byte, v unsafe.Pointer) (out []byte, ok bool) {
	for i := range q.steps {
		step := &q.steps[i]
		dst = append(dst, step.before...)
		part := unsafe.Add(v, step.offset)
		if step.kind != reflect.Slice {
			if dst, ok = step.append(dst, part); !ok {
				return dst, false
			}
			continue
		}
		b := *(*[]byte)(part)
		if uint64(len(b)) > math.MaxUint32 {
			return dst, false
		}
		if b == nil {
			dst = append(dst, codeNil)
		} else {
			dst = appendBin(dst, b)
		}
	}
	return append(dst, q.after...), true
}

// append writes what is no bytes.
func (s *step) append(dst []byte, part unsafe.Pointer) (out []byte, ok bool) {
	switch s.kind {
	case reflect.String:
		str := *(*string)(part)
		return appendString(dst, str), uint64(len(str)) <= math.MaxUint32
	case reflect.Int64:
		return appendInt(dst, s.int(part)), true
	case reflect.Uint64:
		return appendUint(dst, s.uint(part)), true
	case reflect.Bool:
		if *(*bool)(part) {
			return append(dst, codeTrue), true
		}
		return append(dst, codeFalse), true
	case reflect.Float32:
		return binary.BigEndian.AppendUint32(append(dst, codeFloat32), math.Float32bits(*(*float32)(part))), true
	case reflect.Float64:
		return binary.BigEndian.AppendUint64(append(dst, codeFloat64), math.Float64bits(*(*float64)(part))), true
	}
	return appendTimestamp(dst, *(*time.Time)(part)), true
}

// read reads what append has written, all of data, into the value at v, and reports false for anything else, be it sound or not: the value is then in between.
func (q *sequence) read(data []byte, v unsafe.Pointer, in *arena) bool {
	at := 0
	for i := range q.steps {
		step := &q.steps[i]
		end := at + len(step.before)
		if end >= len(data) || string(data[at:end]) != step.before {
			return false
		}
		part := unsafe.Add(v, step.offset)
		if step.kind == reflect.Slice {
			at = readBytes(data, end, (*[]byte)(part), in)
		} else {
			at = step.read(data, end, part)
		}
		if at == noForm {
			return false
		}
	}
	return string(data[at:]) == q.after
}

// readBytes reads bytes into memory of their own, or leaves them where they are, and never into what v has.
func readBytes(data []byte, at int, v *[]byte, in *arena) int {
	b, end := payloadOrNil(data, at)
	if b == nil {
		*v = nil
	} else {
		*v = in.of(b)
	}
	return end
}

// read reads what is no bytes. There is a byte at data[at].
func (s *step) read(data []byte, at int, part unsafe.Pointer) int {
	switch s.kind {
	case reflect.String:
		b, end := payload(data, at, kindStr)
		if end != noForm {
			*(*string)(part) = string(b)
		}
		return end
	case reflect.Int64, reflect.Uint64:
		n, end := integer(data, at)
		if end != noForm {
			s.set(part, n)
		}
		return end
	case reflect.Bool:
		c := data[at]
		if c != codeTrue && c != codeFalse {
			return noForm
		}
		*(*bool)(part) = c == codeTrue
		return at + 1
	case reflect.Float32, reflect.Float64:
		f, end := float(data, at, s.kind)
		switch {
		case end == noForm:
		case s.kind == reflect.Float32:
			*(*float32)(part) = float32(f)
		default:
			*(*float64)(part) = f
		}
		return end
	}
	t, end := timestamp(data, at)
	if end != noForm {
		*(*time.Time)(part) = t
	}
	return end
}

func (s *step) int(part unsafe.Pointer) int64 {
	switch s.size {
	case 1:
		return int64(*(*int8)(part))
	case 2:
		return int64(*(*int16)(part))
	case 4:
		return int64(*(*int32)(part))
	}
	return *(*int64)(part)
}

func (s *step) uint(part unsafe.Pointer) uint64 {
	switch s.size {
	case 1:
		return uint64(*(*uint8)(part))
	case 2:
		return uint64(*(*uint16)(part))
	case 4:
		return uint64(*(*uint32)(part))
	}
	return *(*uint64)(part)
}

// set sets an integer of either sign, of which it leaves out what the type has no room for, as the library does.
func (s *step) set(part unsafe.Pointer, n uint64) {
	switch s.size {
	case 1:
		*(*uint8)(part) = uint8(n)
	case 2:
		*(*uint16)(part) = uint16(n)
	case 4:
		*(*uint32)(part) = uint32(n)
	default:
		*(*uint64)(part) = n
	}
}
