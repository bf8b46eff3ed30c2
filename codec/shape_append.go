package codec

import (
	"encoding/binary"
	"math"
	"reflect"
	"time"
)

// append writes v, unless something in it is longer than the format allows.
func (s *shape) append(dst []byte, v reflect.Value) (out []byte, ok bool) {
	switch s.kind {
	case reflect.Struct:
		return s.appendStruct(dst, v)
	case reflect.Invalid: // a time
	default:
		return appendScalar(dst, s.kind, v)
	}
	if v.CanAddr() {
		return appendTimestamp(dst, *v.Addr().Interface().(*time.Time)), true
	}
	return appendTimestamp(dst, v.Interface().(time.Time)), true
}

func (s *shape) appendStruct(dst []byte, v reflect.Value) (out []byte, ok bool) {
	dst = appendMapLen(dst, len(s.fields))
	for i := range s.fields {
		f := &s.fields[i]
		if dst, ok = f.shape.append(append(dst, f.key...), v.Field(f.index)); !ok {
			return dst, false
		}
	}
	return dst, true
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

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, codeInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, codeInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, codeInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeInt64), uint64(n))
}

func appendUint(dst []byte, n uint64) []byte {
	if n <= math.MaxUint32 {
		return appendUint32(dst, uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUint64), n)
}

// appendTimestamp writes the shortest of the three forms.
func appendTimestamp(dst []byte, t time.Time) []byte {
	secs, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	if secs <= math.MaxUint32 && nanos == 0 {
		return binary.BigEndian.AppendUint32(append(dst, codeFixExt4, extTimestamp), uint32(secs))
	}
	return appendLongTimestamp(dst, t)
}
