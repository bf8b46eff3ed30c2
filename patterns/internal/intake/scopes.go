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

// Scope returns the context of the next message.
func (k *Known) Scope(h *codec.Head) *KnownScope {
	if k.slab == nil || k.used == slabScopes {
		k.slab, k.used = &scopes{kind: k.kind}, 0
	}
	s := &k.slab.all[k.used]
	k.used++
	s.scopes, s.mark = k.slab, h.Mark
	if h.Links != (codec.Links{}) {
		s.more().links = h.Links
	}
	return s
}

// Value is that of context.Context.
func (s *KnownScope) Value(key any) any {
	if key != (conf.EnvelopeKey{}) {
		return s.Context.Value(key)
	}
	more := s.more()
	if more.envelope.Load() == nil {
		more.envelope.CompareAndSwap(nil, s.Envelope(&codec.Head{Mark: s.mark, Links: more.links})) // unless another was faster
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
