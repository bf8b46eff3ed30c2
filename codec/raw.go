package codec

import (
	"encoding"
	"fmt"
	"reflect"
)

// Raw is the codec for bodies that are bytes already. It encodes []byte, string,
// non-nil pointers to them and encoding.BinaryMarshaler, and decodes into
// *[]byte (whose memory it reuses), *string and encoding.BinaryUnmarshaler.
// Anything else is an ErrType.
var Raw Codec = rawCodec{}

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Append(dst []byte, v any) ([]byte, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return dst, rawTypeError("encode", v)
	}
	switch v := v.(type) {
	case []byte:
		return append(dst, v...), nil
	case string:
		return append(dst, v...), nil
	case *[]byte:
		return append(dst, *v...), nil
	case *string:
		return append(dst, *v...), nil
	case encoding.BinaryMarshaler:
		b, err := v.MarshalBinary()
		if err != nil {
			return dst, fmt.Errorf("raw encode %T: %w", v, err)
		}
		return append(dst, b...), nil
	}
	return dst, rawTypeError("encode", v)
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	if err := checkTarget("raw", v); err != nil {
		return err
	}
	switch v := v.(type) {
	case *[]byte:
		*v = append((*v)[:0], data...)
		return nil
	case *string:
		*v = string(data)
		return nil
	case encoding.BinaryUnmarshaler:
		if err := v.UnmarshalBinary(data); err != nil {
			return fmt.Errorf("raw decode into %T: %w", v, err)
		}
		return nil
	}
	return rawTypeError("decode into", v)
}

func rawTypeError(op string, v any) error {
	want := "[]byte, string, a non-nil pointer to one, or an encoding.BinaryMarshaler"
	if op != "encode" {
		want = "*[]byte, *string or an encoding.BinaryUnmarshaler"
	}
	return fmt.Errorf("raw %s %s: %w: want %s", op, typeName(v), ErrType, want)
}
