package schema

import (
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/meshmq/meshmq/patterns"
)

// Entry is one version of a message type, or a rule about one, for New.
type Entry func(*Registry) error

// Option says more of a version.
type Option func(*version)

// version is a Go type that messages have or had.
type version struct {
	line   *line
	number uint32
	since  uint32       // the oldest version whose readers can read this one; 0 for none but its own
	goType reflect.Type // not a pointer
	valid  bool         // its pointer has a Validate method
	from   []cast       // to this version
	to     []cast       // from this version
	plans  map[uint32]*plan
}

// line is a message type through its versions.
type line struct {
	name     string
	versions map[uint32]*version
	oldest   uint32
	writeAs  uint32 // 0 for the version of the value at hand
}

// cast converts. Both sides are pointers; from and to are what these point to.
type cast struct {
	from, to reflect.Type
	convert  func(v any) (any, error)
}

// Version is the version of the message type called name that Go type T is. Numbers begin with 1 and may have gaps; T is no pointer and has
// one place in a Registry. If T, or a pointer to it, has a method Validate() error, values are sent only if it returns nil.
func Version[T any](name string, number uint32, opts ...Option) Entry {
	return func(r *Registry) error {
		v := &version{number: number, goType: reflect.TypeFor[T]()}
		for _, opt := range opts {
			opt(v)
		}
		_, v.valid = any(new(T)).(validator)
		return r.add(name, v)
	}
}

// From says how a value of the version becomes one of another, older one's type: Old is a type of the same name in the Registry. An error
// makes the message malformed; so does a panic.
func From[Old, New any](convert func(Old) (New, error)) Option {
	return func(v *version) { v.from = append(v.from, castOf(convert)) }
}

// To says how a value of the version becomes one of an older one, for readers that know no better: on the sending side with WriteAs,
// or at a handler of the older type. An error keeps the message from being sent, or makes it malformed.
func To[New, Old any](convert func(New) (Old, error)) Option {
	return func(v *version) { v.to = append(v.to, castOf(convert)) }
}

// ReadableSince says that readers of the version number oldest, and of those since, can take this version for theirs, because all it did
// was add what they may ignore.
func ReadableSince(oldest uint32) Option {
	return func(v *version) { v.since = oldest }
}

// WriteAs has all values of the message type called name sent as the version number, converted by what To and From say, until the last
// reader that knows no newer one is gone.
func WriteAs(name string, number uint32) Entry {
	return func(r *Registry) error {
		r.line(name).writeAs = number
		return nil
	}
}

func castOf[A, B any](convert func(A) (B, error)) cast {
	return cast{from: reflect.TypeFor[A](), to: reflect.TypeFor[B](), convert: func(v any) (result any, err error) {
		defer func() {
			if p := recover(); p != nil { // it met a message that its author did not think of
				err = &patterns.PanicError{Value: p, Stack: debug.Stack()}
			}
		}()
		out, err := convert(*v.(*A))
		return &out, err
	}}
}

type validator interface{ Validate() error }

// check refuses a version that no Registry can hold.
func (v *version) check() error {
	switch {
	case v.number == 0:
		return fmt.Errorf("version 0: want 1 or more, since 0 is that of messages without one")
	case v.goType.Kind() == reflect.Pointer || v.goType.Kind() == reflect.Interface:
		return fmt.Errorf("type %s: want what it points to", v.goType)
	case v.since > v.number:
		return fmt.Errorf("readable since version %d: want at most its own", v.since)
	}
	for _, c := range v.from {
		if c.to != v.goType {
			return fmt.Errorf("From makes a %s: want a %s", c.to, v.goType)
		}
	}
	for _, c := range v.to {
		if c.from != v.goType {
			return fmt.Errorf("To takes a %s: want a %s", c.from, v.goType)
		}
	}
	return nil
}
