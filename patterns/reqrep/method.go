package reqrep

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
)

// method answers requests of one name.
type method struct {
	info    MethodInfo
	meter   meter
	headers []codec.Header // of answers that nobody else sees
	stencil codec.Stencil  // of those, zero if there are none
	answer  func(ctx context.Context, r *request) outcome
}

// outcome is how a request ended. bad is what is wrong with the request, err what the handler returned.
type outcome struct {
	out      any
	bad, err error
}

// Handle has calls of the method called name answered by handler, within the service's middleware. A name has 1 to codec.MaxName bytes and
// does not begin with a dollar sign; one that is taken is an error. It may be called at any time.
//
// The context of handler has the request's envelope, as patterns.FromContext says. It ends when the caller's time is up, when the caller has given up, and when its connection is
// gone. An *Error that handler returns, or wraps, goes to the caller as it is; any other error goes as CodeInternal with its
// text, and is reported, unless it says that the context has ended and the caller has left; a panic goes as CodeInternal without it. The reply is encoded by the codec that the request came in.
//
// What a Call of the handler's own failed with is not taken for its answer: that nothing was done there, and asking again may help, says nothing of what was done here. A code of
// the services' own goes on to the caller, not Retryable; one of this package, CodeDeadline aside, becomes CodeInternal.
func Handle[In, Out any](s *Service, name string, handler func(ctx context.Context, in In) (Out, error)) error {
	m := newMethod[In, Out](s, name, false)
	around := intake.Wrap(s.conf.Middleware, func(ctx context.Context, d *patterns.Delivery) error {
		out, err := handler(ctx, *d.Value.(*In))
		if err == nil {
			d.Reply = &out
		}
		return err
	})
	plain := len(s.conf.Middleware) == 0
	m.answer = func(ctx context.Context, r *request) (o outcome) {
		v := new(struct { // one object
			in  In
			out Out
		})
		if o.bad = s.decode(m, r.e, &v.in); o.bad != nil {
			return o
		}
		if plain && s.conf.Schemas == nil { // the handler has the value, and the memory of the message can be given back when it has returned
			r.e.Body, r.spent = nil, true
		}
		o.err = intake.Attempt(func() (err error) {
			if plain {
				v.out, err = handler(ctx, v.in)
				o.out = &v.out
				return err
			}
			d := r.delivery(&v.in)
			err = around(ctx, d)
			o.out = d.Reply
			return err
		})
		return o
	}
	return s.add(name, m)
}

// HandleStream has the method called name answered with all that handler yields, one by one, as far ahead of the caller's loop as that wants; see
// [Stream]. The method is a handler as Handle says, from the first item to the last: it occupies one of the service's WithConcurrency, and a
// middleware is around all of it. An error ends the stream; behind an item it is patterns.ErrPermanent to middleware, so that none has the caller get items twice. A request that
// middleware knows as handled (patterns.Delivery.Duplicate) is answered with CodeDuplicate. Yielding blocks while the caller takes nothing; it returns false when the caller has left, its
// time is up, or it is gone, and behind an error or an item that cannot be sent, of which the caller learns. The context has ended then.
func HandleStream[In, Out any](s *Service, name string, handler func(ctx context.Context, in In) iter.Seq2[Out, error]) error {
	m := newMethod[In, Out](s, name, true)
	around := intake.Wrap(s.conf.Middleware, func(ctx context.Context, d *patterns.Delivery) error {
		r := ctx.Value(requestInContext{}).(*request)
		err := intake.Attempt(func() error {
			ctx, end := context.WithCancel(ctx)
			defer end()
			for out, err := range handler(ctx, *d.Value.(*In)) {
				if err == nil {
					err = s.item(ctx, r, &out)
				}
				if err != nil {
					end() // before yield returns
					return err
				}
			}
			return ctx.Err() // a handler that was told to stop need not say so
		})
		if r.flow.count() > 0 { // or a middleware would send them again
			err = patterns.Permanent(err)
		}
		return err
	})
	m.answer = func(ctx context.Context, r *request) (o outcome) {
		var in In
		switch {
		case r.flow == nil:
			o.bad = fmt.Errorf("%w: method %q streams, want a request for a stream", patterns.ErrMalformed, name)
		default:
			o.bad = s.decode(m, r.e, &in)
		}
		if o.bad == nil {
			ctx = context.WithValue(ctx, requestInContext{}, r)
			d := r.delivery(&in)
			o.err = intake.Attempt(func() error { return around(ctx, d) })
			if o.err == nil && d.Duplicate {
				o.err = Errorf(CodeDuplicate, "the request was handled before, and what a stream answered is not kept")
			}
		}
		return o
	}
	return s.add(name, m)
}

// requestInContext is the key by which a stream's handler finds the request.
type requestInContext struct{}

func newMethod[In, Out any](s *Service, name string, streams bool) *method {
	m := &method{info: MethodInfo{
		Name: name, Streams: streams,
		In: wire.NameOf(s.conf.Schemas, reflect.TypeFor[In]()), Out: wire.NameOf(s.conf.Schemas, reflect.TypeFor[Out]()),
	}}
	if len(s.conf.Middleware) == 0 { // else they may have another type
		m.headers = slices.Clip(valueHeader(nil, s.conf.Schemas, new(Out)))
		m.stencil = s.sealer.Stencil(name, m.headers, reflect.TypeFor[Out]())
	}
	return m
}

// delivery is what middleware sees of a request.
func (r *request) delivery(in any) *patterns.Delivery {
	return &patterns.Delivery{Kind: patterns.Call, Name: r.e.Type, Envelope: r.e, Peer: r.key.peer, Attempt: r.attempt, Value: in}
}

func (s *Service) add(name string, m *method) error {
	switch {
	case name == "" || len(name) > codec.MaxName:
		return fmt.Errorf("handle method %.60q: want a name of 1 to %d bytes", name, codec.MaxName)
	case strings.HasPrefix(name, reserved):
		return fmt.Errorf("handle method %q: want a name that does not begin with %s", name, reserved)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.methods[name] != nil {
		return fmt.Errorf("handle method %q: it has a handler already", name)
	}
	s.methods[name] = m
	return nil
}
