package codec

import (
	"encoding/binary"
	"math"
	"reflect"
)

// sequence is how values of a shape without times are written without recursion, and without reflect.Value.Interface. The compiler can tell of it that it keeps neither
// the value nor the bytes, so that callers may have both on their stack. What it wrote it also reads, at one comparison for all that is before a scalar.
type sequence struct {
	steps []step
	after string // what is on the wire behind the last step
}

// step writes what is neither a struct nor a time.
type step struct {
	before string // what is on the wire before it: heads of maps, and keys
	path   []int  // of fields, from the value on
	kind   reflect.Kind
}

// sequence returns that of a shape, nil for one with times.
func (s *shape) sequence() *sequence {
	q := &sequence{}
	if !q.add(s, nil) {
		return nil
	}
	return q
}

func (q *sequence) add(s *shape, path []int) bool {
	switch s.kind {
	case reflect.Invalid:
		return false
	case reflect.Struct:
		q.after = string(appendMapLen([]byte(q.after), len(s.fields)))
		for i := range s.fields {
			field := &s.fields[i]
			q.after += field.key
			if !q.add(field.shape, append(path[:len(path):len(path)], field.index)) {
				return false
			}
		}
		return true
	}
	q.steps = append(q.steps, step{q.after, path, s.kind})
	q.after = ""
	return true
}

// append writes v, unless something in it is longer than the format allows.
func (q *sequence) append(dst []byte, v reflect.Value) (out []byte, ok bool) {
	for i := range q.steps {
		step := &q.steps[i]
		part := v
		for _, field := range step.path {
			part = part.Field(field)
		}
		if dst, ok = appendScalar(append(dst, step.before...), step.kind, part); !ok {
			return dst, false
		}
	}
	return append(dst, q.after...), true
}

// read reads what append has written, all of data, into v, and reports false for anything else, be it sound or not: v is then in between.
func (q *sequence) read(data []byte, v reflect.Value, in *arena) bool {
	at := 0
	for i := range q.steps {
		step := &q.steps[i]
		end := at + len(step.before)
		if end >= len(data) || string(data[at:end]) != step.before {
			return false
		}
		part := v
		for _, field := range step.path {
			part = part.Field(field)
		}
		if step.kind == reflect.Slice {
			at = readBytes(data, end, part, in)
		} else {
			at = readScalar(data, end, step.kind, part)
		}
		if at == noForm {
			return false
		}
	}
	return string(data[at:]) == q.after
}

// readBytes reads bytes into memory of their own, or leaves them where they are, and never into what v has: of reflect.Value.Bytes the compiler cannot tell that it keeps nothing.
func readBytes(data []byte, at int, v reflect.Value, in *arena) int {
	b, end := payloadOrNil(data, at)
	if b == nil {
		v.SetBytes(nil)
	} else {
		v.SetBytes(in.of(b))
	}
	return end
}

// appendScalar writes what is neither a struct nor a time, by the kind that its shape has.
func appendScalar(dst []byte, k reflect.Kind, v reflect.Value) (out []byte, ok bool) {
	switch k {
	case reflect.String:
		str := v.String()
		return appendString(dst, str), uint64(len(str)) <= math.MaxUint32
	case reflect.Slice:
		b := v.Bytes()
		if b == nil {
			return append(dst, codeNil), true
		}
		return appendBin(dst, b), uint64(len(b)) <= math.MaxUint32
	case reflect.Int64:
		return appendInt(dst, v.Int()), true
	case reflect.Uint64:
		return appendUint(dst, v.Uint()), true
	case reflect.Bool:
		if v.Bool() {
			return append(dst, codeTrue), true
		}
		return append(dst, codeFalse), true
	case reflect.Float32:
		return binary.BigEndian.AppendUint32(append(dst, codeFloat32), math.Float32bits(float32(v.Float()))), true
	}
	return binary.BigEndian.AppendUint64(append(dst, codeFloat64), math.Float64bits(v.Float())), true
}
