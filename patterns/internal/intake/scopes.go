package intake

import (
	"context"
	"sync/atomic"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// Known makes the contexts of messages that a Stencil knows, one after the other, several of them in one piece of memory. It is for one goroutine.
type Known struct {
	*kind
	slab *scopes
	used int
}

// kind is what such messages have in common.
type kind struct {
	context.Context // that of the work
	codec.Stencil
}

// KnownScope is the Scope of such a message. It refers to nothing that was received, and makes the envelope, without a body, when somebody asks for it.
type KnownScope struct {
	*scopes
	mark codec.Mark
}

// scopes are those of several messages.
type scopes struct {
	*kind
	rest atomic.Pointer[[slabScopes]scopeRest] // nil until one of them has something there
	all  [slabScopes]KnownScope
}

// scopeRest is what few scopes have.
type scopeRest struct {
	links    codec.Links
	envelope atomic.Pointer[codec.Envelope] // nil until somebody asks for it
}

// slabScopes is how many share their memory: as many as fit in three kilobytes. A handler which keeps its context holds little, and Go gets memory for
// those of this size in larger portions than for smaller ones.
const slabScopes = 95

// NewKnown returns a Known for messages like one that the Stencil has read, handled in ctx.
func NewKnown(ctx context.Context, s codec.Stencil) *Known { return &Known{kind: &kind{ctx, s}} }

// Read reads a message, and returns its context and its body, if it is one that the Stencil knows.
func (k *Known) Read(frame []byte) (s *KnownScope, body []byte, ok bool) {
	if k.slab == nil || k.used == slabScopes {
		k.slab, k.used = &scopes{kind: k.kind}, 0
	}
	var links codec.Links
	s = &k.slab.all[k.used] // where nothing is copied: a copy would have to wait for what was just written
	if body, ok = k.Stencil.Read(frame, &s.mark, &links); !ok {
		return nil, nil, false
	}
	k.used++
	s.scopes = k.slab
	if !links.IsZero() {
		s.more().links = links
	}
	return s, body, true
}

// Value is that of context.Context.
func (s *KnownScope) Value(key any) any {
	if key != (conf.EnvelopeKey{}) {
		return s.Context.Value(key)
	}
	more := s.more()
	if more.envelope.Load() == nil {
		more.envelope.CompareAndSwap(nil, s.Envelope(&s.mark, &more.links)) // unless another was faster
	}
	return more.envelope.Load()
}

// more returns the place of the scope's rest.
func (s *KnownScope) more() *scopeRest {
	if s.rest.Load() == nil {
		s.rest.CompareAndSwap(nil, new([slabScopes]scopeRest)) // unless another was faster
	}
	i := 0
	for s != &s.all[i] {
		i++
	}
	return &s.rest.Load()[i]
}
