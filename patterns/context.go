package patterns

import (
	"context"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// NewContext returns a context that carries e as the message being handled. Handlers get such a context; it
// is for tests of handlers, and for code that handles messages on other ways.
func NewContext(ctx context.Context, e *codec.Envelope) context.Context {
	return context.WithValue(ctx, conf.EnvelopeKey{}, e)
}

// Extend begins the lease of the message being handled anew ([WithLease]): the handler is at work on it, and gets on. An error means that the message is, or will be, with another
// handler, so that this one had better stop: socket.ErrLease when the lease has run out, socket.ErrPeerGone when the connection that the message came on has ended, and with a window
// socket.ErrWindow and socket.ErrClosed when that has failed or is closed. Then ctx ends, too, where it had not.
// It returns nil where there is no lease. Handlers call it as they get on, more often than the lease is long.
func Extend(ctx context.Context) error {
	if extend, ok := ctx.Value(conf.LeaseKey{}).(func() error); ok {
		return extend()
	}
	return nil
}

// FromContext returns the envelope of the message being handled, nil if there is none. It is shared by all who
// have the context: not to be changed. It may be without Body, of which there is the value.
func FromContext(ctx context.Context) *codec.Envelope {
	e, _ := ctx.Value(conf.EnvelopeKey{}).(*codec.Envelope)
	return e
}
