package intake

import (
	"context"
	"sync/atomic"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// Known is what the contexts share of messages that a Stencil knows.
type Known struct {
	context.Context // that of the work
	codec.Stencil
}

// KnownScope is the Scope of such a message. It refers to nothing that was received, and makes the envelope, without a body, when somebody asks for it.
type KnownScope struct {
	*Known
	Head     codec.Head
	envelope atomic.Pointer[codec.Envelope]
}

// Value is that of context.Context.
func (s *KnownScope) Value(key any) any {
	if key != (conf.EnvelopeKey{}) {
		return s.Known.Value(key)
	}
	if s.envelope.Load() == nil {
		s.envelope.CompareAndSwap(nil, s.Envelope(&s.Head)) // unless another was faster
	}
	return s.envelope.Load()
}

// KnownScopes makes those of one message after the other, several of them in one piece of memory. It is for one goroutine.
type KnownScopes struct {
	slab *[slabScopes]KnownScope
	used int
}

// slabScopes is how many share their memory: as many as fit in three kilobytes. A handler which keeps its context holds little, and Go gets memory for
// those of this size in larger portions than for smaller ones.
const slabScopes = 42

// Next returns a scope that has nothing in it yet. It returns the same again until Use.
func (s *KnownScopes) Next() *KnownScope {
	if s.slab == nil || s.used == slabScopes {
		s.slab, s.used = new([slabScopes]KnownScope), 0
	}
	return &s.slab[s.used]
}

// Use says that the scope that Next returned is one of a message.
func (s *KnownScopes) Use() { s.used++ }
