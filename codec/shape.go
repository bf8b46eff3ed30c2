package codec

import (
	"bytes"
	"encoding"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// shape is how values of a type are written and read without the library, which finds its way anew for each value: through tables of types, interfaces and a
// decoder that takes one byte at a time. A type that is not made of booleans, numbers, strings, bytes, times and structs of these alone has none. What
// shapes write is what the library writes; what they cannot read, be it sound or not, is read by the library.
type shape struct {
	kind   reflect.Kind // Int64, Uint64 for all widths, Slice for []byte, Invalid for time.Time
	fields []shapeField // of a struct
}

type shapeField struct {
	key   string // as it is on the wire
	index int
	shape *shape
}

var (
	shapes sync.Map                        // of reflect.Type to *shapeOfType
	recent [64]atomic.Pointer[shapeOfType] // by where the type lies: most programs have few types, and find theirs here at once
)

// shapeOfType is what shapeOf returned.
type shapeOfType struct {
	t reflect.Type
	s *shape
}

// shapeOf returns the shape of t, or of what t points to, nil if that has none.
func shapeOf(t reflect.Type) *shape {
	place := &recent[reflect.ValueOf(t).Pointer()/64%uintptr(len(recent))]
	if known := place.Load(); known != nil && known.t == t {
		return known.s
	}
	known, ok := shapes.Load(t)
	if !ok {
		of := t
		if t.Kind() == reflect.Pointer {
			of = t.Elem()
		}
		s := newShape(of, 0)
		if s != nil && !s.proven(of) {
			s = nil
		}
		known, _ = shapes.LoadOrStore(t, &shapeOfType{t, s})
	}
	place.Store(known.(*shapeOfType))
	return known.(*shapeOfType).s
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	bytesType = reflect.TypeFor[[]byte]()
	// ownForms are what types implement that have a form of their own on the wire, or one of their own for nothing.
	ownForms = [...]reflect.Type{
		reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder](),
		reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}
)

func newShape(t reflect.Type, depth int) *shape {
	if t == timeType {
		return &shape{kind: reflect.Invalid}
	}
	for _, form := range ownForms {
		if reflect.PointerTo(t).Implements(form) {
			return nil
		}
	}
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64:
		return &shape{kind: k}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &shape{kind: reflect.Int64}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &shape{kind: reflect.Uint64}
	case reflect.Slice:
		if t.ConvertibleTo(bytesType) && t.Elem() == bytesType.Elem() {
			return &shape{kind: k}
		}
	case reflect.Struct:
		if depth < DefaultDepth {
			return newStructShape(t, depth+1)
		}
	}
	return nil
}

func newStructShape(t reflect.Type, depth int) *shape {
	s := &shape{kind: reflect.Struct}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("msgpack")
		switch {
		case f.Anonymous || f.Name == "_msgpack" || strings.ContainsAny(name, ",:'\\ "):
			return nil // embedded, or with options
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		of := newShape(f.Type, depth)
		key := string(appendString(nil, name))
		if of == nil || len(name) > MaxName || s.field(key) != nil || len(s.fields) == maxShapeFields {
			return nil
		}
		s.fields = append(s.fields, shapeField{key, i, of})
	}
	return s
}

// maxShapeFields is what a map may have whose count has two bytes, and more than structs that people write.
const maxShapeFields = 1 << 10

func (s *shape) field(key string) *shapeField {
	for i := range s.fields {
		if s.fields[i].key == key {
			return &s.fields[i]
		}
	}
	return nil
}

// proven reports whether the library does the same: it may have been told of a form for a type that nothing about the type shows.
func (s *shape) proven(t reflect.Type) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	for _, fill := range []bool{false, true} {
		in, lib, own := reflect.New(t), reflect.New(t), reflect.New(t)
		if fill {
			s.fill(in.Elem())
		}
		want, err := appendMsgpack(nil, in.Interface())
		got, ok := s.append(nil, in.Elem())
		if err != nil || !ok || !bytes.Equal(want, got) || decodeMsgpack(want, 0, lib.Interface()) != nil {
			return false
		}
		if s.read(want, 0, own.Elem(), nil) != len(want) || !reflect.DeepEqual(lib.Interface(), own.Interface()) {
			return false
		}
	}
	return true
}

// fill sets v to what is not zero.
func (s *shape) fill(v reflect.Value) {
	switch s.kind {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(-1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(0.5)
	case reflect.String:
		v.SetString("s")
	case reflect.Slice:
		v.SetBytes([]byte("b"))
	case reflect.Struct:
		for _, f := range s.fields {
			f.shape.fill(v.Field(f.index))
		}
	default:
		v.Set(reflect.ValueOf(time.Unix(1, 1)))
	}
}
