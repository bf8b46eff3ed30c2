package wire

import (
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// Open reads the envelope in a frame. Its Body is a part of the frame. The error is ErrMalformed.
func Open(frame []byte) (*codec.Envelope, error) {
	e := new(codec.Envelope)
	if err := OpenInto(e, frame); err != nil {
		return nil, err
	}
	return e, nil
}

// OpenInto is Open where there is memory for the envelope.
func OpenInto(e *codec.Envelope, frame []byte) error {
	if err := e.Decode(frame); err != nil {
		return fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
	}
	return nil
}

// CheckType refuses an envelope of another type than want. An empty name on either side suits all.
func CheckType(e *codec.Envelope, want string) error {
	if want != "" && e.Type != "" && e.Type != want {
		return fmt.Errorf("%w %q: want %q", patterns.ErrType, e.Type, want)
	}
	return nil
}

// CodecOf returns the codec that wrote the body of e. It is own if e names it or none: own may be one that
// ByName does not know.
func CodecOf(e *codec.Envelope, own codec.Codec) (codec.Codec, error) {
	if e.Codec == "" || e.Codec == own.Name() {
		return own, nil
	}
	return codec.ByName(e.Codec)
}

// Decode reads the body of e into v, a pointer, by schemas if there are any. The error is ErrMalformed, or ErrVersion.
func Decode(e *codec.Envelope, own codec.Codec, schemas patterns.Schemas, v any) error {
	if schemas == nil {
		return DecodeBody(e, own, v)
	}
	c, err := CodecOf(e, own)
	if err == nil {
		err = schemas.Decode(c, e, v)
	}
	if err == nil || errors.Is(err, patterns.ErrVersion) {
		return err
	}
	return fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
}

// DecodeBody is Decode without schemas. It lets e stay on the stack.
func DecodeBody(e *codec.Envelope, own codec.Codec, v any) error {
	c, err := CodecOf(e, own)
	if err != nil {
		return fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
	}
	return Unmarshal(c, e.Body, v)
}

// Unmarshal has c read a body into v. The error is ErrMalformed.
func Unmarshal(c codec.Codec, body []byte, v any) error { return malformed(c.Unmarshal(body, v)) }

// UnmarshalBy is Unmarshal for a Decoder.
func UnmarshalBy[T any](d *codec.Decoder[T], body []byte, v *T) error {
	return malformed(d.Unmarshal(body, v))
}

func malformed(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
	}
	return nil
}
