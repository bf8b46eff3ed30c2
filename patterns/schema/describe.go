package schema

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshmq/meshmq/codec"
)

// Description says what values of a type look like to peers. It is plain data, to be kept as JSON.
type Description struct {
	Codec string `json:"codec"` // whose names the fields have
	Shape Shape  `json:"shape"`
}

// Shape is what a value, or a part of it, looks like.
type Shape struct {
	// Kind is bool, string, bytes, time, any; int, uint and float with their bits; list, map, object; back, which is the object
	// as many levels further out as Levels says; or custom and the Go type that writes itself. What JSON has in quotes, by the option string of its tag, is quoted and a kind.
	Kind   string  `json:"kind"`
	Fields []Field `json:"fields,omitempty"` // of an object, by name
	Key    *Shape  `json:"key,omitempty"`    // of a map
	Elem   *Shape  `json:"elem,omitempty"`   // of a list or map
	Length int     `json:"length,omitempty"` // of an array, a list or bytes; 0 for any
	Levels int     `json:"levels,omitempty"`
}

// Field is a part of an object.
type Field struct {
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"` // writers may leave it out, readers can do without
	Shape    Shape  `json:"shape"`
}

// Describe describes T as c writes it: codec.JSON by the tags of encoding/json, any other by those of msgpack. A field is
// optional if it is a pointer or has omitempty or omitzero. Types that cannot be written are an error, and so are structs written as arrays: these
// cannot change at all.
func Describe[T any](c codec.Codec) (Description, error) {
	d := describer{tag: "msgpack"}
	if c.Name() == codec.JSON.Name() {
		d.tag = "json"
	}
	shape, err := d.shape(reflect.TypeFor[T]())
	if err != nil {
		return Description{}, fmt.Errorf("describe %s: %w", reflect.TypeFor[T](), err)
	}
	return Description{Codec: d.tag, Shape: shape}, nil
}

// describer walks a type.
type describer struct {
	tag     string
	objects []reflect.Type // around the place it is at
	within  []reflect.Type // structs it is in by embedding
}

var (
	timeType    = reflect.TypeFor[time.Time]()
	marshallers = map[string][]reflect.Type{
		"json": {reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()},
		"msgpack": {reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](),
			reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.TextMarshaler]()},
	}
)

func (d *describer) shape(t reflect.Type) (Shape, error) {
	if t == timeType {
		return Shape{Kind: "time"}, nil
	}
	if d.custom(t) {
		return Shape{Kind: "custom " + strings.TrimLeft(t.String(), "*")}, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.shape(t.Elem())
	case reflect.Bool, reflect.String, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return Shape{Kind: t.Kind().String()}, nil
	case reflect.Int, reflect.Uint:
		return Shape{Kind: t.Kind().String() + "64"}, nil
	case reflect.Interface:
		return Shape{Kind: "any"}, nil
	case reflect.Slice, reflect.Array:
		s := Shape{Kind: "bytes"}
		if t.Kind() == reflect.Array {
			s.Length = t.Len()
		}
		if d.isBytes(t) {
			return s, nil
		}
		elem, err := d.shape(t.Elem())
		s.Kind, s.Elem = "list", &elem
		return s, err
	case reflect.Map:
		key, err := d.shape(t.Key())
		elem, err2 := d.shape(t.Elem())
		return Shape{Kind: "map", Key: &key, Elem: &elem}, errors.Join(err, err2)
	case reflect.Struct:
		return d.object(t)
	}
	return Shape{}, fmt.Errorf("%s: nothing to send", t)
}

// custom reports whether values of t write themselves.
func (d *describer) custom(t reflect.Type) bool {
	return slices.ContainsFunc(marshallers[d.tag], func(m reflect.Type) bool {
		return t.Implements(m) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(m)
	})
}

// isBytes reports whether a slice or array is written as bytes. JSON writes arrays as lists, and what writes itself one by one.
func (d *describer) isBytes(t reflect.Type) bool {
	return t.Elem().Kind() == reflect.Uint8 && (d.tag != "json" || t.Kind() == reflect.Slice && !d.custom(t.Elem()))
}

func (d *describer) object(t reflect.Type) (Shape, error) {
	if at := slices.Index(d.objects, t); at >= 0 {
		return Shape{Kind: "back", Levels: len(d.objects) - at}, nil
	}
	d.objects = append(d.objects, t)
	within := d.within
	d.within = nil
	defer func() { d.objects, d.within = d.objects[:len(d.objects)-1], within }()
	fields, err := d.fields(t)
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return Shape{Kind: "object", Fields: fields}, err
}

// fields returns those of a struct, and of the structs embedded in it without a name.
func (d *describer) fields(t reflect.Type) (fields []Field, err error) {
	if slices.Contains(d.within, t) {
		return nil, fmt.Errorf("%s: embeds itself", t)
	}
	d.within = append(d.within, t)
	defer func() { d.within = d.within[:len(d.within)-1] }()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get(d.tag), ",")
		if f.Name == "_msgpack" && d.tag == "msgpack" && strings.Contains(options, "as_array") {
			return nil, fmt.Errorf("%s: written as an array, which cannot change: want a map", t)
		}
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case name == "-" && options == "":
			continue
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct && embedded != timeType && !strings.Contains(options, "noinline"):
			more, err := d.fields(embedded)
			if err != nil {
				return nil, err
			}
			fields = append(fields, more...)
			continue
		case !f.IsExported():
			continue
		}
		shape, err := d.shape(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if d.tag == "json" && slices.Contains(strings.Split(options, ","), "string") && isScalar(shape.Kind) {
			shape.Kind = quoted + shape.Kind
		}
		if name == "" {
			name = f.Name
		}
		optional := f.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		fields = append(fields, Field{Name: name, Optional: optional, Shape: shape})
	}
	return fields, nil
}
