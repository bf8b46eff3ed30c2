package codec

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// keepLimit is the message size above which encoders and decoders are not kept
// for reuse: their scratch buffers have grown with it. Most messages are smaller,
// and an idle process should not hold on to the largest ones it ever saw.
const keepLimit = 64 << 10

// Msgpack is the default codec, MessagePack within the default Limits. Whatever
// could exceed them is scanned before it is decoded and after it is encoded, so
// what Append writes, Unmarshal accepts. See the package documentation for how Go
// types map. Encoding a cyclic value exhausts the stack.
var Msgpack Codec = msgpackCodec{}

// MsgpackWithLimits is Msgpack with other limits, for those who exchange larger
// or deeper messages on purpose. Sender and receiver need the same.
func MsgpackWithLimits(limits Limits) Codec { return msgpackCodec{limits} }

type msgpackCodec struct{ limits Limits }

// Encoders and decoders are pooled with the writer and reader they work on. The
// pools are our own: the library's are open to everybody in the process.
type (
	msgpackEncoder struct {
		w   appendWriter
		enc *msgpack.Encoder
	}
	msgpackDecoder struct {
		r   reader
		dec *msgpack.Decoder
	}
)

var (
	msgpackEncoders = sync.Pool{New: func() any { return &msgpackEncoder{enc: msgpack.NewEncoder(nil)} }}
	msgpackDecoders = sync.Pool{New: func() any { return &msgpackDecoder{dec: msgpack.NewDecoder(nil)} }}
)

func (msgpackCodec) Name() string { return "msgpack" }

func (c msgpackCodec) Append(dst []byte, v any) ([]byte, error) {
	if s, rv := c.shape(v); s != nil {
		if out, ok := s.append(dst, rv); ok {
			return out, nil
		}
	}
	out, err := appendMsgpack(dst, v)
	if err == nil {
		err = Scan(out[len(dst):], c.limits)
	}
	if err != nil {
		return dst, fmt.Errorf("msgpack encode %s: %w", typeName(v), err)
	}
	return out, nil
}

// shape returns that of v, or of what v points to, and this; nil if it has none, or the limits are not those that no shape exceeds.
func (c msgpackCodec) shape(v any) (s *shape, rv reflect.Value) {
	if v != nil && c.limits == (Limits{}) {
		s = shapeOf(reflect.TypeOf(v))
	}
	if s == nil {
		return nil, rv
	}
	if rv = reflect.ValueOf(v); rv.Kind() != reflect.Pointer {
		return s, rv
	}
	if rv.IsNil() {
		return nil, rv
	}
	return s, rv.Elem()
}

// appendMsgpack has the library write v.
func appendMsgpack(dst []byte, v any) ([]byte, error) {
	e := msgpackEncoders.Get().(*msgpackEncoder)
	e.w.buf = dst
	e.enc.Reset(&e.w) // clears all flags
	e.enc.UseCompactInts(true)
	e.enc.SetSortMapKeys(true)
	if err := e.enc.Encode(v); err != nil {
		return dst, err // e is not trusted again
	}
	out := e.w.buf
	e.w.buf = nil // the caller's memory must not stay in the pool
	if len(out)-len(dst) <= keepLimit {
		msgpackEncoders.Put(e)
	}
	return out, nil
}

func (c msgpackCodec) Unmarshal(data []byte, v any) (err error) {
	if s, rv := c.shape(v); s != nil && rv.CanSet() && s.read(data, 0, rv, nil) == len(data) {
		return nil
	}
	if err := checkTarget("msgpack", v); err != nil {
		return err
	}
	firstExt, err := scan(data, c.limits)
	if err != nil {
		return fmt.Errorf("msgpack decode into %T: %w", v, err)
	}
	defer func() {
		// Reflection panics where a value does not suit the destination, for
		// instance an array as key of a map[any]any.
		if p := recover(); p != nil {
			err = fmt.Errorf("msgpack decode into %T: %w: %v", v, ErrType, p)
		}
	}()
	if err := decodeMsgpack(data, firstExt, v); err != nil {
		return fmt.Errorf("msgpack decode into %T: %w", v, err)
	}
	return nil
}

// decodeMsgpack has the library decode scanned data. A decoder that failed is not kept: it may
// go on recording what it reads.
func decodeMsgpack(data []byte, firstExt int, v any) error {
	d := msgpackDecoders.Get().(*msgpackDecoder)
	d.r.reset(data, firstExt)
	d.dec.Reset(&d.r) // clears all flags
	if err := d.dec.Decode(v); err != nil {
		return err
	}
	if d.r.pos != len(data) {
		// Only a decoder method of the destination's own can do this.
		return malformed(d.r.pos, "the destination left %d bytes unread", len(data)-d.r.pos)
	}
	d.r = reader{} // the caller's memory must not stay in the pool
	if len(data) <= keepLimit {
		msgpackDecoders.Put(d)
	}
	return nil
}
