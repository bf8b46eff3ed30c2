package tracing

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/meshmq/meshmq/codec"
)

// carrier is an envelope as propagators see it.
type carrier codec.Envelope

var _ propagation.TextMapCarrier = (*carrier)(nil)

// Get returns a header.
func (c *carrier) Get(key string) string { return (*codec.Envelope)(c).Header(key) }

// Set sets a header.
func (c *carrier) Set(key, value string) { (*codec.Envelope)(c).SetHeader(key, value) }

// Keys returns the keys of all headers.
func (c *carrier) Keys() []string {
	keys := make([]string, len(c.Headers))
	for i, h := range c.Headers {
		keys[i] = h.Key
	}
	return keys
}

// inject puts the trace that ctx is part of into e.
func (t *Tracer) inject(ctx context.Context, e *codec.Envelope) {
	// What a handler sends is given the trace state of what it handles. It belongs to the parent that came with it,
	// and the propagator leaves it there when the new parent has none.
	if trace.SpanContextFromContext(ctx).TraceState().Len() == 0 && e.Header(codec.HeaderTracestate) != "" {
		e.Headers = slices.DeleteFunc(slices.Clone(e.Headers), func(h codec.Header) bool { return h.Key == codec.HeaderTracestate })
	}
	t.propagator.Inject(ctx, (*carrier)(e))
}

// extract returns ctx as part of the trace that e tells of. If it tells of none, a span that ctx has already stays.
func (t *Tracer) extract(ctx context.Context, e *codec.Envelope) context.Context {
	if e == nil {
		return ctx
	}
	return t.propagator.Extract(ctx, (*carrier)(e))
}
