package intake

import "context"

// Scopes are those of one message after the other, several of them in one piece of memory. It is for one goroutine.
type Scopes struct {
	slab *[slabScopes]Scope
	used int
}

const (
	// slabScopes is how many share their memory: enough that taking it is rare, few enough that a handler which keeps its context holds little more than
	// what the message came in, a read of up to 256 KiB.
	slabScopes = 16
	// sharedFrame is how long the frame may be that a Scope in a slab refers to: sixteen of them are 64 KiB.
	sharedFrame = 4 << 10
)

// Next returns the Scope of the next message, of that frame, to be handled in ctx.
func (s *Scopes) Next(ctx context.Context, frame []byte) *Scope {
	if len(frame) > sharedFrame {
		return &Scope{Context: ctx, Frame: frame}
	}
	if s.slab == nil || s.used == slabScopes {
		s.slab, s.used = new([slabScopes]Scope), 0
	}
	scope := &s.slab[s.used]
	s.used++
	scope.Context, scope.Frame = ctx, frame
	return scope
}
