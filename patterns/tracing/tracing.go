package tracing

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/meshmq/meshmq/patterns"
)

// scope is the name that spans say they were made by.
const scope = "github.com/meshmq/meshmq/patterns/tracing"

// Tracer makes spans. One serves any number of sockets, patterns and goroutines.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	links      bool
	name       func(kind patterns.Kind, name string) string
}

// Option sets one property of a Tracer.
type Option func(*config)

type config struct {
	Tracer
	provider trace.TracerProvider
}

// WithTracerProvider sets who makes the spans. Default, also for nil: the global one, otel.GetTracerProvider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.provider = p }
}

// WithPropagator sets how the trace travels in headers. Default, also for nil: W3C trace context and baggage, whatever the global one is, which does
// nothing until it is set.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// WithLinks gives what handlers of work and events do a trace of its own, with a link to the sender's span.
func WithLinks() Option {
	return func(c *config) { c.links = true }
}

// WithName has spans named by f in place of the message's name: a topic with a number in it is better told as "orders.*.packed", since there should be
// few names in all. The name itself is an attribute still. Default: the message's name.
func WithName(f func(kind patterns.Kind, name string) string) Option {
	return func(c *config) { c.name = f }
}

// New returns a Tracer.
func New(opts ...Option) *Tracer {
	c := config{}
	for _, opt := range opts {
		opt(&c)
	}
	if c.provider == nil {
		c.provider = otel.GetTracerProvider()
	}
	if c.propagator == nil {
		c.propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	if c.name == nil {
		c.name = func(_ patterns.Kind, name string) string { return name }
	}
	t := c.Tracer
	t.tracer = c.provider.Tracer(scope, trace.WithSchemaURL(schemaURL))
	return &t
}
