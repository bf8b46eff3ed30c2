package codec

import (
	"errors"
	"fmt"
	"reflect"
)

// Sentinels that callers decide on, with errors.Is. The errors that wrap them
// say where in the message and what was found.
var (
	// ErrMalformed: the bytes are not one complete value in the codec's format.
	ErrMalformed = errors.New("malformed message")
	// ErrLimit: the bytes may be well formed but exceed a limit of this package.
	ErrLimit = errors.New("message over limit")
	// ErrType: the Go value is not one the codec can encode or decode into.
	ErrType = errors.New("unsuitable type")
	// ErrVersion: the envelope is of a layout this version cannot read.
	ErrVersion = errors.New("unknown envelope version")
	// ErrUnknown: no codec has this name.
	ErrUnknown = errors.New("unknown codec")
)

// Codec turns Go values into bytes and back. Implementations are safe for
// concurrent use and keep no reference to dst, data or v after returning.
type Codec interface {
	// Name is the short fixed name that travels in Envelope.Codec.
	Name() string
	// Append appends the encoding of v to dst and returns the extended slice.
	// On error it returns dst with its old length; the bytes between its length
	// and capacity may have been written to. Both slices are the caller's: what comes
	// next may be written over them.
	Append(dst []byte, v any) ([]byte, error)
	// Unmarshal decodes data, which must hold one value and nothing else, into
	// v, a non-nil pointer. What it stores shares no memory with data. After an
	// error *v may be partly filled. Input never makes it panic.
	Unmarshal(data []byte, v any) error
}

// ByName returns the codec whose Name is name. An unknown name is an ErrUnknown
// that lists the known ones.
func ByName(name string) (Codec, error) {
	switch name {
	case "msgpack":
		return Msgpack, nil
	case "json":
		return JSON, nil
	case "raw":
		return Raw, nil
	}
	return nil, fmt.Errorf("%w %q: want msgpack, json or raw", ErrUnknown, name)
}

// checkTarget refuses what nothing can be decoded into.
func checkTarget(codec string, v any) error {
	if rv := reflect.ValueOf(v); rv.Kind() != reflect.Pointer || rv.IsNil() {
		return fmt.Errorf("%s decode into %s: %w: want a non-nil pointer", codec, typeName(v), ErrType)
	}
	return nil
}

// typeName is the type of v for an error message; it tells a nil pointer from
// one that points somewhere.
func typeName(v any) string {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return "nil"
	}
	if rv.Kind() == reflect.Pointer && rv.IsNil() {
		return fmt.Sprintf("nil %T", v)
	}
	return fmt.Sprintf("%T", v)
}

// appendWriter is an io.Writer that appends to buf. It has WriteByte because
// the msgpack encoder otherwise allocates for each code it writes.
type appendWriter struct{ buf []byte }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *appendWriter) WriteByte(c byte) error {
	w.buf = append(w.buf, c)
	return nil
}
