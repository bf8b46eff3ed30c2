package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// JSON is the codec for encoding/json. It writes no trailing newline and does
// not escape HTML; it refuses data after the value. Depth is bounded by
// encoding/json itself, at 10,000 levels.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

// jsonEncoder is an encoder with the writer it is tied to for life.
type jsonEncoder struct {
	w   appendWriter
	enc *json.Encoder
}

var jsonEncoders = sync.Pool{New: func() any {
	e := new(jsonEncoder)
	e.enc = json.NewEncoder(&e.w)
	e.enc.SetEscapeHTML(false)
	return e
}}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	e := jsonEncoders.Get().(*jsonEncoder)
	e.w.buf = dst
	err := e.enc.Encode(v)
	out := e.w.buf
	e.w.buf = nil // the caller's memory must not stay in the pool
	jsonEncoders.Put(e)
	if err != nil {
		return dst, fmt.Errorf("json encode %s: %w", typeName(v), err)
	}
	return out[:len(out)-1], nil // Encode ends with a newline
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	if err := checkTarget("json", v); err != nil {
		return err
	}
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("json decode into %T: %w at byte %d: %w", v, ErrMalformed, s.Offset, err)
	}
	return fmt.Errorf("json decode into %T: %w", v, err)
}
