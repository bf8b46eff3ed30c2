package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

const (
	schemaURL  = semconv.SchemaURL
	system     = "meshmq"
	attemptKey = attribute.Key("messaging.meshmq.attempt")
)

// Sends returns middleware that makes a span of each message sent, the child of the context's, and puts it in the message's headers.
func (t *Tracer) Sends() patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			kind, operation := trace.SpanKindProducer, "send "
			switch o.Kind {
			case patterns.Event:
				operation = "publish "
			case patterns.Call:
				kind, operation = trace.SpanKindClient, ""
			}
			ctx, span := t.tracer.Start(ctx, operation+t.name(o.Kind, o.Name), trace.WithSpanKind(kind),
				trace.WithAttributes(identify(o.Kind, o.Name, operation, "send")...))
			defer span.End() // also if next panics
			t.inject(ctx, o.Envelope)
			err := next(ctx, o)
			if span.IsRecording() {
				span.SetAttributes(describe(o.Kind, o.Envelope)...)
				conclude(span, o.Kind, err, err != nil)
			}
			return err
		}
	}
}

// Handles returns middleware that makes a span of each attempt at a message. The handler's context has it, so that what the handler sends and
// does is part of it. A panic of the handler goes on as a *patterns.PanicError.
func (t *Tracer) Handles() patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			ctx, span := t.receive(ctx, d)
			defer span.End()
			err := intake.ErrExit
			defer func() {
				if span.IsRecording() {
					span.SetAttributes(describe(d.Kind, d.Envelope)...)
					span.SetAttributes(attemptKey.Int(d.Attempt))
					if d.Peer != nil {
						span.SetAttributes(semconv.NetworkPeerAddress(d.Peer.Address()))
					}
					conclude(span, d.Kind, err, err != nil && !intake.IsAnswer(d.Kind, err))
				}
			}()
			err = intake.Attempt(func() error { return next(ctx, d) })
			return err
		}
	}
}

// receive begins the span of an attempt.
func (t *Tracer) receive(ctx context.Context, d *patterns.Delivery) (context.Context, trace.Span) {
	ctx = t.extract(ctx, d.Envelope)
	name := t.name(d.Kind, d.Name)
	attributes := trace.WithAttributes(identify(d.Kind, d.Name, "process ", "process")...)
	if d.Kind == patterns.Call {
		return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), attributes)
	}
	opts := append(make([]trace.SpanStartOption, 0, 4), trace.WithSpanKind(trace.SpanKindConsumer), attributes)
	if sender := trace.SpanContextFromContext(ctx); sender.IsRemote() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sender}))
		if t.links {
			opts = append(opts, trace.WithNewRoot())
		}
	}
	return t.tracer.Start(ctx, "process "+name, opts...)
}

// identify returns what the conventions want to be known when a span begins, since samplers decide by it. The operation's name is that in the
// span's.
func identify(kind patterns.Kind, name, operation, operationType string) []attribute.KeyValue {
	if kind == patterns.Call {
		return []attribute.KeyValue{semconv.RPCSystemNameKey.String(system), semconv.RPCMethod(name)}
	}
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operation[:len(operation)-1]),
		semconv.MessagingOperationTypeKey.String(operationType),
		semconv.MessagingDestinationName(name),
	}
}

// describe returns what else there is to know of a message in the end.
func describe(kind patterns.Kind, e *codec.Envelope) []attribute.KeyValue {
	if e == nil || kind == patterns.Call {
		return nil
	}
	attributes := append(make([]attribute.KeyValue, 0, 3),
		semconv.MessagingMessageID(e.ID.String()), semconv.MessagingMessageBodySize(len(e.Body)))
	if id := e.Conversation(); !id.IsZero() {
		attributes = append(attributes, semconv.MessagingMessageConversationID(id.String()))
	}
	return attributes
}

// conclude says how it ended. The end is a fault of the span's own, or of others.
func conclude(span trace.Span, kind patterns.Kind, err error, fault bool) {
	code := codeOf(err)
	if kind == patterns.Call && code != "" {
		span.SetAttributes(semconv.RPCResponseStatusCode(code))
	}
	if err == nil {
		return
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(typeOf(err)))
	if fault {
		span.SetStatus(codes.Error, err.Error())
	}
	record(span, err)
}
