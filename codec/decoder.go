package codec

import (
	"reflect"
	"unsafe"
)

// binding is the shape of a type that is looked up once. The zero binding has none.
type binding struct {
	pointer  reflect.Type // to the type
	shape    *shape
	sequence *sequence // nil without a shape
}

func bind(c Codec, t reflect.Type) binding {
	if m, ok := c.(msgpackCodec); !ok || t == nil || t.Kind() == reflect.Pointer || m.limits != (Limits{}) {
		return binding{}
	}
	b := binding{pointer: reflect.PointerTo(t)}
	if b.shape = shapeOf(b.pointer); b.shape != nil {
		b.sequence = b.shape.sequence(t)
	}
	return b
}

// append writes what v points to, if that has the shape.
func (b *binding) append(dst []byte, v any) (out []byte, ok bool) {
	if b.sequence == nil || reflect.TypeOf(v) != b.pointer {
		return nil, false
	}
	p := reflect.ValueOf(v).UnsafePointer()
	if p == nil {
		return nil, false
	}
	return b.sequence.append(dst, p)
}

// Decoder reads values of one type, one after the other, at less cost than a Codec by itself. It is for one goroutine at a time.
type Decoder[T any] struct {
	codec Codec
	bound binding
	arena arena
}

// NewDecoder returns a Decoder of what c has written.
func NewDecoder[T any](c Codec) *Decoder[T] {
	return &Decoder[T]{codec: c, bound: bind(c, reflect.TypeFor[T]())}
}

// Unmarshal is that of the Codec, but for where the bytes of small values are: in pieces of three kilobytes, cut so that
// appending to one copies it. Who keeps 100 bytes may so keep three kilobytes.
func (d *Decoder[T]) Unmarshal(data []byte, v *T) error {
	if d.bound.shape != nil && v != nil && d.bound.shape.read(data, 0, reflect.ValueOf(v).Elem(), &d.arena) == len(data) {
		return nil
	}
	return d.codec.Unmarshal(data, v)
}

// Value reads what Append has written of a plain value, not a pointer to it, into v, which may stay on the stack of its caller. It reports
// false where Unmarshal has to do it: v is then in between. With shares bytes in v are part of data, cut so that appending to them copies: those from 8 KiB on.
func (d *Decoder[T]) Value(data []byte, v *T) (shares, ok bool) {
	if d.bound.sequence == nil || v == nil {
		return false, false
	}
	d.arena.lent = false
	ok = d.bound.sequence.read(data, unsafe.Pointer(v), &d.arena)
	return d.arena.lent, ok
}

// arena is where the bytes of small values lie.
type arena struct {
	piece []byte
	used  int  // of it: a number, since a store of a pointer costs more while the collector runs
	lent  bool // some bytes were not copied
}

const (
	// arenaSize is what a piece has: thirty bodies of 100 bytes take one allocation, and a kept one holds little. Go gets memory for those of this size 24 kilobytes at a
	// time, in place of 8 for those of one, two or four kilobytes, and that is most of what they cost.
	arenaSize = 3 << 10
	// arenaMost is the most of it that goes to one value.
	arenaMost = 256
	// shareFrom is from where on bytes are not copied where they may stay: a socket reads up to 256 KiB at once, so that who keeps some keeps at most thirty times as many.
	shareFrom = 8 << 10
)

// of returns b where it is not worth a copy, else that.
func (a *arena) of(b []byte) []byte {
	if a != nil && len(b) >= shareFrom {
		a.lent = true
		return b[:len(b):len(b)]
	}
	return a.copy(b)
}

// copy returns a copy of b.
func (a *arena) copy(b []byte) []byte {
	if a == nil || len(b) > arenaMost || len(b) == 0 {
		fresh := make([]byte, len(b)) // nothing between this and copy, so that it is not cleared in vain
		copy(fresh, b)
		return fresh
	}
	if len(b) > len(a.piece)-a.used {
		a.piece, a.used = make([]byte, arenaSize), 0
	}
	from := a.used
	a.used += copy(a.piece[from:], b)
	return a.piece[from:a.used:a.used]
}
