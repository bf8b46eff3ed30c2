package reqrep

import (
	"context"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// scope is the part of a request's context that ends with its handler, or when it is forsaken. Most handlers never ask whether it has, so it is made
// when one does: a context that can be ended is kept by the one above until then, which costs more than the rest of a small call.
type scope struct {
	mu     sync.Mutex // guards the fields below
	begun  bool       // a handler has it
	over   bool
	inner  context.Context // nil until somebody asks
	cancel context.CancelFunc
}

// begin makes r the context of a handler. The caller calls end.
func (r *request) begin() {
	c := &r.scope
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.over = true, r.forsaken.Load()
	if !r.deadline.IsZero() {
		r.makeLocked()
	}
}

// end ends the handler's context.
func (r *request) end() {
	c := &r.scope
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// forsake has the handler's context end, whether it has begun or not.
func (r *request) forsake() {
	r.forsaken.Store(true)
	r.end()
}

func (r *request) makeLocked() {
	c := &r.scope
	if r.deadline.IsZero() {
		c.inner, c.cancel = context.WithCancel(r.Context)
	} else {
		c.inner, c.cancel = context.WithDeadline(r.Context, r.deadline)
	}
	if c.over {
		c.cancel()
	}
}

// live returns the context that says whether r has ended: the work's before a handler has it.
func (r *request) live() context.Context {
	c := &r.scope
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		return r.Context
	}
	if c.inner == nil {
		r.makeLocked()
	}
	return c.inner
}

// Deadline is that of context.Context.
func (r *request) Deadline() (time.Time, bool) { return r.live().Deadline() }

// Done is that of context.Context.
func (r *request) Done() <-chan struct{} { return r.live().Done() }

// Err is that of context.Context.
func (r *request) Err() error { return r.live().Err() }

// Value is that of context.Context.
func (r *request) Value(key any) any {
	if key == (conf.EnvelopeKey{}) && r.e != nil {
		return r.e
	}
	return r.live().Value(key)
}
