package exchange

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
)

// ErrUnroutable is the error for a message that no binding matches. See UnroutableError.
var ErrUnroutable = errors.New("unroutable message")

// UnroutableError says which message no binding matches. It is an ErrUnroutable.
type UnroutableError struct{ Topic, Type, Key string }

// Error says which.
func (e *UnroutableError) Error() string {
	return fmt.Sprintf("%s: topic %q, type %q, key %q", ErrUnroutable, e.Topic, e.Type, e.Key)
}

// Unwrap returns ErrUnroutable.
func (e *UnroutableError) Unwrap() error { return ErrUnroutable }

// DeliveryError says where a message did not get to. Others may have it.
type DeliveryError struct {
	Binding     string // empty for the alternate
	Destination string
	Err         error
}

// Error says where, and why.
func (e *DeliveryError) Error() string {
	return fmt.Sprintf("route by %q to %q: %v", e.Binding, e.Destination, e.Err)
}

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

// Option sets one property of a Router.
type Option func(*Router)

// MatchFirst has each message go by the first binding that matches, in the order they were made. Default: by all that match.
func MatchFirst() Option { return func(r *Router) { r.first = true } }

// Alternate says where messages go that no binding matches, as an alternate exchange does. Default: nowhere, they are an UnroutableError.
func Alternate(to *Destination) Option {
	return func(r *Router) {
		r.alternate = to
		if err := to.check(); err != nil {
			r.err = fmt.Errorf("%w: alternate: %w", ErrRule, err)
		}
	}
}

// Router routes messages by its bindings. It is safe for use by any number of goroutines.
type Router struct {
	first     bool
	alternate *Destination
	err       error // what the options did wrong
	counts    routerCounts

	mu       sync.Mutex // for who changes the field below
	bindings atomic.Pointer[[]*Binding]
}

type routerCounts struct{ routed, unroutable, alternate, failed atomic.Uint64 }

// Counts says how messages fared at a Router.
type Counts struct {
	Routed     uint64 // a binding matched, or more, and all destinations took the message
	Failed     uint64 // a destination or more did not take it, or a rule panicked
	Alternate  uint64 // no binding matched, and the alternate got it
	Unroutable uint64 // no binding matched, and there is no alternate
}

// Binding is a rule with its destinations.
type Binding struct {
	router *Router
	name   string
	rule   Rule
	to     []*Destination

	matched, delivered, failed atomic.Uint64
}

// BindingCounts says what a Binding did.
type BindingCounts struct {
	Matched   uint64 // messages that its rule matched, and that were its turn
	Delivered uint64 // those that destinations took, each once for a destination
	Failed    uint64 // those that they did not
}

// New returns a Router without bindings. A malformed option is an error of all calls of Bind and Route.
func New(opts ...Option) *Router {
	r := &Router{}
	r.bindings.Store(new([]*Binding))
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Bind has messages that rule matches go to the destinations, from the next Route on. The name says which binding it is, and is unique in the Router. A malformed
// rule is an ErrRule that names the binding and the rule, and binds nothing.
func (r *Router) Bind(name string, rule Rule, to ...*Destination) (*Binding, error) {
	err := errors.Join(r.err, rule.check())
	if name == "" {
		err = errors.Join(err, fmt.Errorf("%w: a binding has no name", ErrRule))
	}
	if len(to) == 0 {
		err = errors.Join(err, fmt.Errorf("%w: no destination", ErrRule))
	}
	for _, d := range to {
		if bad := d.check(); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", ErrRule, bad))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bind %q: %w", name, err)
	}
	b := &Binding{router: r, name: name, rule: rule, to: slices.Clone(to)}
	r.mu.Lock()
	defer r.mu.Unlock()
	bindings := *r.bindings.Load()
	if slices.ContainsFunc(bindings, func(b *Binding) bool { return b.name == name }) {
		return nil, fmt.Errorf("bind %q: %w: there is a binding of that name", name, ErrRule)
	}
	bindings = append(slices.Clip(bindings), b)
	r.bindings.Store(&bindings)
	return b, nil
}

// Unbind ends the binding, from the next Route on. A second time it does nothing.
func (b *Binding) Unbind() {
	r := b.router
	r.mu.Lock()
	defer r.mu.Unlock()
	bindings := slices.DeleteFunc(slices.Clone(*r.bindings.Load()), func(other *Binding) bool { return other == b })
	r.bindings.Store(&bindings)
}

// Bindings returns the bindings, in the order they were made.
func (r *Router) Bindings() []*Binding { return slices.Clone(*r.bindings.Load()) }

// String returns its name and rule.
func (b *Binding) String() string { return b.name + ": " + b.rule.text }

// Counts returns what the binding did.
func (b *Binding) Counts() BindingCounts {
	return BindingCounts{b.matched.Load(), b.delivered.Load(), b.failed.Load()}
}

// Counts returns how messages fared.
func (r *Router) Counts() Counts {
	c := &r.counts
	return Counts{c.routed.Load(), c.failed.Load(), c.alternate.Load(), c.unroutable.Load()}
}

// Route sends m to the destinations of the bindings that match it. Nil means that all of them took it. It blocks as long as they do. Errors are an UnroutableError; pubsub.ErrTopic
// if the topic is malformed; patterns.ErrPanic if a rule panicked; and else a DeliveryError for each destination that failed, joined: find them with errors.As.
func (r *Router) Route(ctx context.Context, m *Message) error {
	if r.err != nil {
		return fmt.Errorf("route: %w", r.err)
	}
	if m.Topic != "" {
		if err := pubsub.CheckTopic(m.Topic); err != nil {
			r.counts.failed.Add(1)
			return fmt.Errorf("route: %w", err)
		}
	}
	p := pass{}
	matched := false
	for _, b := range *r.bindings.Load() {
		ok, err := b.matches(m)
		if err != nil {
			p.fail(err)
			continue
		}
		if !ok {
			continue
		}
		matched = true
		b.matched.Add(1)
		p.deliver(ctx, b, m)
		if r.first {
			break
		}
	}
	if !matched && p.errs == nil {
		return r.stray(ctx, m)
	}
	if p.errs != nil {
		r.counts.failed.Add(1)
		return errors.Join(p.errs...)
	}
	r.counts.routed.Add(1)
	return nil
}

// stray takes care of a message that nothing matches.
func (r *Router) stray(ctx context.Context, m *Message) error {
	if r.alternate == nil {
		r.counts.unroutable.Add(1)
		return &UnroutableError{m.Topic, m.typeName(), m.Key}
	}
	if err := r.alternate.deliver(ctx, m); err != nil {
		r.counts.failed.Add(1)
		return &DeliveryError{Destination: r.alternate.name, Err: err}
	}
	r.counts.alternate.Add(1)
	return nil
}

// matches asks the rule. One that panics is an error.
func (b *Binding) matches(m *Message) (ok bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("rule %q %s: %w", b.name, b.rule.text, &patterns.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return b.rule.match(m), nil
}

// pass is one message on its way.
type pass struct {
	had  [8]*Destination // the first that had it, which are all there are as a rule
	n    int
	more []*Destination
	errs []error
}

func (p *pass) fail(err error) { p.errs = append(p.errs, err) }

// deliver sends a message to the destinations of a binding that have not had it.
func (p *pass) deliver(ctx context.Context, b *Binding, m *Message) {
	for _, d := range b.to {
		if slices.Contains(p.had[:p.n], d) || slices.Contains(p.more, d) {
			continue
		}
		if p.n < len(p.had) {
			p.had[p.n] = d
			p.n++
		} else {
			p.more = append(p.more, d)
		}
		if err := d.deliver(ctx, m); err != nil {
			b.failed.Add(1)
			p.fail(&DeliveryError{b.name, d.name, err})
			continue
		}
		b.delivered.Add(1)
	}
}
