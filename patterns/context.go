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

// FromContext returns the envelope of the message being handled, nil if there is none. It is shared by all who
// have the context: not to be changed. It may be without Body, of which there is the value.
func FromContext(ctx context.Context) *codec.Envelope {
	e, _ := ctx.Value(conf.EnvelopeKey{}).(*codec.Envelope)
	return e
}
