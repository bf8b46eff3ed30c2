package patterns

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Kind says which of the three ways a message takes.
type Kind uint8

// The kinds of messages.
const (
	Work  Kind = iota + 1 // pushpull: to one of several workers
	Call                  // reqrep: a question
	Event                 // pubsub: to all who want to know
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Work:
		return "work"
	case Call:
		return "call"
	case Event:
		return "event"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Delivery is one attempt at handling a message. It belongs to the handlers until the outermost has returned, and must not be kept.
type Delivery struct {
	Kind     Kind
	Name     string          // the type of work, the method of a call, the topic of an event
	Envelope *codec.Envelope // not to be changed
	Peer     *socket.Peer    // that sent it; nil if it comes from elsewhere
	Attempt  int             // from 1; it stays 1 where nothing is delivered again
	Value    any             // a pointer to what the body decoded to
	Reply    any             // of a Call, once its handler has returned nil: a pointer to the answer

	// Duplicate is set by middleware that knows the message as one that was handled, and has not called its handler again.
	Duplicate bool
}

// Handler handles a message. Nil means that it is done with; an error that it is to be tried again, where the pattern can, unless
// it is [Permanent]. The context has the envelope: see [FromContext].
type Handler func(ctx context.Context, d *Delivery) error

// Middleware does something around a Handler: before it, after it, or in its place. What is to be done after it also when it panics, or ends the goroutine, is deferred. It is called once for each handler it goes around, when
// that is installed; the Handler it returns is called by several goroutines at once.
type Middleware func(next Handler) Handler

// WithMiddleware puts middleware around the handlers of a Worker, Service or Subscriber, the first one outermost. Given again, it adds more within.
func WithMiddleware(around ...Middleware) Option {
	return func(cfg *conf.Config) error {
		for i, m := range around {
			if m == nil {
				return fmt.Errorf("%w: WithMiddleware: number %d is nil, want a function", socket.ErrOption, i+1)
			}
			cfg.Middleware = append(cfg.Middleware, m)
		}
		return cfg.Check("WithMiddleware", conf.Middleware)
	}
}
