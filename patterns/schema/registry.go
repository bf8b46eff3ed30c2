package schema

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// HeaderSince is the header of a message that readers of an older version than its own can read: the number of the oldest one.
const HeaderSince = "schema-since"

// Registry knows versions of message types. It is a patterns.Schemas, does not change, and is safe for use by any number
// of goroutines.
type Registry struct {
	lines  map[string]*line
	byType map[reflect.Type]*version
}

var _ patterns.Schemas = (*Registry)(nil)

// New returns a Registry of the entries. The error names all that do not fit: a name, number or Go type that is taken, a conversion from or to
// what is no version of the same name, a version to write as that cannot be made.
func New(entries ...Entry) (*Registry, error) {
	r := &Registry{lines: make(map[string]*line), byType: make(map[reflect.Type]*version)}
	var errs []error
	for _, add := range entries {
		errs = append(errs, add(r))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	for _, l := range r.lines {
		err := l.connect()
		if err == nil {
			err = l.checkWriteAs()
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return r, nil
}

func (r *Registry) line(name string) *line {
	l := r.lines[name]
	if l == nil {
		l = &line{name: name, versions: make(map[uint32]*version)}
		r.lines[name] = l
	}
	return l
}

func (r *Registry) add(name string, v *version) error {
	if name == "" || len(name) > codec.MaxName {
		return fmt.Errorf("name %.20q: want 1 to %d bytes", name, codec.MaxName)
	}
	if v.line = r.line(name); v.line.versions[v.number] != nil {
		return fmt.Errorf("%s: is there already", v)
	}
	if other := r.byType[v.goType]; other != nil {
		return fmt.Errorf("%s: type %s is %s already", v, v.goType, other)
	}
	if err := v.check(); err != nil {
		return fmt.Errorf("%s: %w", v, err)
	}
	v.line.versions[v.number] = v
	r.byType[v.goType] = v
	return nil
}

// checkWriteAs wants all versions to have a way to the one written.
func (l *line) checkWriteAs() error {
	if l.writeAs == 0 {
		return nil
	}
	target := l.versions[l.writeAs]
	if target == nil {
		return fmt.Errorf("write %s as version %d: want one of %v", l.name, l.writeAs, l.numbers())
	}
	for _, n := range l.numbers() {
		if target.plans[n] == nil {
			return fmt.Errorf("write %s version %d as %d: want a conversion, by To or From", l.name, n, l.writeAs)
		}
	}
	return nil
}

// Name returns the name that values of type t travel under, or of what t points to; "" for types that are not in the Registry.
func (r *Registry) Name(t reflect.Type) string {
	if v := r.lookup(t); v != nil {
		return v.line.name
	}
	return ""
}

func (r *Registry) lookup(t reflect.Type) *version {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return r.byType[t]
}

// Encode appends the encoding of v to dst, as the version it is or is to be written as, and stamps e with that. A value of a type that is not in
// the Registry is written as it is, without a version. One that is not sound is patterns.ErrInvalid: its Validate says so, or it is nil.
func (r *Registry) Encode(dst []byte, c codec.Codec, e *codec.Envelope, v any) ([]byte, error) {
	from := r.lookup(reflect.TypeOf(v))
	if from == nil {
		return c.Append(dst, v)
	}
	target := from
	if as := from.line.writeAs; as != 0 {
		target = from.line.versions[as]
	}
	v, err := from.sound(v)
	if err == nil && target != from {
		v, err = target.plans[from.number].run(boxed(v))
	}
	if err != nil {
		return dst, fmt.Errorf("%s: %w: %w", from, patterns.ErrInvalid, err)
	}
	e.SchemaVersion = target.number
	if target.since != 0 {
		e.SetHeader(HeaderSince, strconv.FormatUint(uint64(target.since), 10))
	}
	return c.Append(dst, v)
}

var errNil = errors.New("nil")

// sound returns value, or the last pointer if it is one to others, unless it should not be sent.
func (v *version) sound(value any) (any, error) {
	if p := reflect.ValueOf(value); p.Kind() == reflect.Pointer {
		for !p.IsNil() && p.Elem().Kind() == reflect.Pointer {
			p = p.Elem()
		}
		if p.IsNil() {
			return nil, errNil
		}
		value = p.Elem().Addr().Interface() // without the name that a pointer's type may have, which has no methods
	}
	if !v.valid {
		return value, nil
	}
	check, is := value.(validator)
	if !is { // its pointer is
		check = boxed(value).(validator)
	}
	return value, check.Validate()
}

// boxed returns a pointer to value, or value if it is one.
func boxed(value any) any {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer {
		return value
	}
	box := reflect.New(v.Type())
	box.Elem().Set(v)
	return box.Interface()
}

// Decode reads the body of e, which c wrote, into v, a pointer to a value of any version or a pointer to one. Types that are not in the
// Registry are read by the codec alone. A version that there is no way from is patterns.ErrVersion; any other error means that
// the message is malformed.
func (r *Registry) Decode(c codec.Codec, e *codec.Envelope, v any) error {
	target := r.lookup(reflect.TypeOf(v))
	if target == nil || e.SchemaVersion == target.number {
		return c.Unmarshal(e.Body, v)
	}
	p, err := target.planFor(e)
	if err != nil {
		return err
	}
	if len(p.steps) == 0 {
		return c.Unmarshal(e.Body, v)
	}
	old := reflect.New(p.from.goType).Interface()
	if err := c.Unmarshal(e.Body, old); err != nil {
		return err
	}
	value, err := p.run(old)
	if err != nil {
		return fmt.Errorf("%s: %w", p.from, err)
	}
	return store(v, value)
}

// store puts what value points to where v points, in the end.
func store(v, value any) error {
	at := reflect.ValueOf(v)
	if at.Kind() != reflect.Pointer || at.IsNil() {
		return fmt.Errorf("decode into %T: %w: want a non-nil pointer", v, codec.ErrType)
	}
	for at = at.Elem(); at.Kind() == reflect.Pointer; at = at.Elem() {
		if at.IsNil() {
			at.Set(reflect.New(at.Type().Elem()))
		}
	}
	at.Set(reflect.ValueOf(value).Elem())
	return nil
}

// planFor returns how to read a message of another version than v.
func (v *version) planFor(e *codec.Envelope) (*plan, error) {
	number := e.SchemaVersion
	if number == 0 {
		number = v.line.oldest
	}
	if p := v.plans[number]; p != nil {
		return p, nil
	}
	if since, err := strconv.ParseUint(e.Header(HeaderSince), 10, 32); err == nil && since > 0 && v.line.versions[number] == nil {
		var best uint32 // the newest that can be taken for it
		for known := range v.plans {
			if uint64(known) >= since && known < number {
				best = max(best, known)
			}
		}
		if best > 0 {
			return v.plans[best], nil
		}
	}
	return nil, fmt.Errorf("%w %d of %s: want one of %s", patterns.ErrVersion, number, v.line.name, v.readable())
}
