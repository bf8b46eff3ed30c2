package tracing_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/patterns/tracing"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// record returns a Tracer, and what it has made once spans have ended.
func record(opts ...tracing.Option) (*tracing.Tracer, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(r))
	return tracing.New(append(opts, tracing.WithTracerProvider(provider))...), r
}

// pass sends a message through the tracer's middleware, and hands it to a handler within as many times as there are ends. It returns what the
// sender returned.
func pass(ctx context.Context, t *testing.T, tracer *tracing.Tracer, kind patterns.Kind, sent error, ends ...any) error {
	e := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID(), Body: []byte("12345")}
	o := patterns.NewOutgoing(func(ctx context.Context) error { return sent })
	o.Kind, o.Name, o.Envelope = kind, "orders.new", e
	err := patterns.Around(tracer.Sends())(ctx, o)
	for i, end := range ends {
		d := &patterns.Delivery{Kind: kind, Name: "orders.new", Envelope: e, Attempt: i + 1}
		got := tracer.Handles()(func(ctx context.Context, _ *patterns.Delivery) error {
			assert.True(t, trace.SpanContextFromContext(ctx).IsValid())
			assert.False(t, trace.SpanContextFromContext(ctx).IsRemote())
			if text, ok := end.(string); ok {
				panic(text)
			}
			err, _ := end.(error)
			return err
		})(context.Background(), d)
		if want, ok := end.(error); ok {
			assert.Equal(t, want, got)
		}
	}
	return err
}

func attributes(s sdk.ReadOnlySpan) map[string]any {
	all := make(map[string]any)
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func TestSpansOfWork(t *testing.T) {
	t.Parallel()
	tracer, r := record()
	require.NoError(t, pass(t.Context(), t, tracer, patterns.Work, nil, errors.New("broken"), "at sea", nil))
	spans := r.Ended()
	require.Len(t, spans, 4)
	sender := spans[0]
	assert.Equal(t, "send orders.new", sender.Name())
	assert.Equal(t, trace.SpanKindProducer, sender.SpanKind())
	want := map[string]any{
		"messaging.system": "meshmq", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": "orders.new", "messaging.message.body.size": int64(5),
	}
	got := attributes(sender)
	id, conversation := got["messaging.message.id"], got["messaging.message.conversation_id"]
	assert.NotEmpty(t, id)
	assert.NotEqual(t, id, conversation)
	want["messaging.message.id"], want["messaging.message.conversation_id"] = id, conversation
	assert.Equal(t, want, got)
	want["messaging.operation.name"], want["messaging.operation.type"] = "process", "process"
	for i, span := range spans[1:] {
		assert.Equal(t, "process orders.new", span.Name())
		assert.Equal(t, trace.SpanKindConsumer, span.SpanKind())
		assert.Equal(t, sender.SpanContext().TraceID(), span.SpanContext().TraceID())
		assert.Equal(t, sender.SpanContext().SpanID(), span.Parent().SpanID())
		require.Len(t, span.Links(), 1, "as the conventions want")
		assert.Equal(t, sender.SpanContext().SpanID(), span.Links()[0].SpanContext.SpanID())
		got := attributes(span)
		want["messaging.meshmq.attempt"] = int64(i + 1)
		delete(want, "error.type")
		switch i {
		case 0:
			want["error.type"] = "_OTHER"
			assert.Equal(t, sdk.Status{Code: codes.Error, Description: "broken"}, span.Status())
		case 1:
			want["error.type"] = "panic"
			require.Len(t, span.Events(), 1)
			assert.Equal(t, "exception", span.Events()[0].Name)
			assert.Contains(t, span.Events()[0].Attributes, attribute.String("exception.message", "handler panicked: at sea"))
		case 2:
			assert.Equal(t, codes.Unset, span.Status().Code)
		}
		assert.Equal(t, want, got)
	}
}

func TestSpansOfEventsWithLinksOnly(t *testing.T) {
	t.Parallel()
	tracer, r := record(tracing.WithLinks(), tracing.WithName(func(kind patterns.Kind, name string) string {
		assert.Equal(t, patterns.Event, kind)
		assert.Equal(t, "orders.new", name)
		return "orders.*"
	}))
	require.NoError(t, pass(t.Context(), t, tracer, patterns.Event, nil, nil))
	spans := r.Ended()
	require.Len(t, spans, 2)
	assert.Equal(t, "publish orders.*", spans[0].Name())
	assert.Equal(t, "process orders.*", spans[1].Name())
	assert.NotEqual(t, spans[0].SpanContext().TraceID(), spans[1].SpanContext().TraceID())
	require.Len(t, spans[1].Links(), 1)
	assert.Equal(t, spans[0].SpanContext().TraceID(), spans[1].Links()[0].SpanContext.TraceID())
	assert.Equal(t, "orders.new", attributes(spans[1])["messaging.destination.name"])
}

func TestSpansOfCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err            error
		code, kind     any
		client, server codes.Code
	}{
		{nil, nil, nil, codes.Unset, codes.Unset},
		{reqrep.Errorf("sold_out", "no tea"), "sold_out", "sold_out", codes.Error, codes.Unset},
		{reqrep.Errorf(reqrep.CodeInternal, "no disk"), "internal", "internal", codes.Error, codes.Error},
		{context.DeadlineExceeded, nil, "timeout", codes.Error, codes.Error},
	} {
		tracer, r := record()
		assert.Equal(t, c.err, pass(t.Context(), t, tracer, patterns.Call, c.err, c.err))
		spans := r.Ended()
		require.Len(t, spans, 2)
		for i, kind := range []trace.SpanKind{trace.SpanKindClient, trace.SpanKindServer} {
			assert.Equal(t, "orders.new", spans[i].Name())
			assert.Equal(t, kind, spans[i].SpanKind())
			got := attributes(spans[i])
			assert.Equal(t, "meshmq", got["rpc.system.name"])
			assert.Equal(t, "orders.new", got["rpc.method"])
			assert.Equal(t, c.code, got["rpc.response.status_code"])
			assert.Equal(t, c.kind, got["error.type"])
		}
		assert.Equal(t, c.client, spans[0].Status().Code)
		assert.Equal(t, c.server, spans[1].Status().Code)
		assert.Equal(t, spans[0].SpanContext().SpanID(), spans[1].Parent().SpanID())
		assert.Empty(t, spans[1].Links())
	}
}

// What a handler sends is given the trace headers of what it handles. A span of its own replaces all of them.
func TestHeadersAreThoseOfTheSpan(t *testing.T) {
	t.Parallel()
	tracer, r := record()
	shared := []codec.Header{{Key: codec.HeaderTraceparent, Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{Key: codec.HeaderTracestate, Value: "vendor=1"}, {Key: "x", Value: "y"}}
	o := patterns.NewOutgoing(func(context.Context) error { return nil })
	o.Kind, o.Envelope = patterns.Work, &codec.Envelope{Headers: shared}
	member, err := baggage.NewMember("user", "ada")
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	require.NoError(t, patterns.Around(tracer.Sends())(baggage.ContextWithBaggage(t.Context(), bag), o))
	span := r.Ended()[0].SpanContext()
	assert.Equal(t, "00-"+span.TraceID().String()+"-"+span.SpanID().String()+"-01", o.Envelope.Header(codec.HeaderTraceparent))
	assert.Empty(t, o.Envelope.Header(codec.HeaderTracestate), "it was another trace's")
	assert.Equal(t, "y", o.Envelope.Header("x"))
	assert.Equal(t, "user=ada", o.Envelope.Header("baggage"))
	assert.Equal(t, "vendor=1", shared[1].Value, "others have them too")

	require.NoError(t, tracer.Handles()(func(ctx context.Context, _ *patterns.Delivery) error {
		assert.Equal(t, "ada", baggage.FromContext(ctx).Member("user").Value())
		return nil
	})(t.Context(), &patterns.Delivery{Envelope: o.Envelope}))
}

// keys is a propagator that has a header of its own, and notes which it finds.
type keys struct{ found []string }

func (k *keys) Inject(_ context.Context, c propagation.TextMapCarrier) { c.Set("x-trace", "7") }

func (k *keys) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	k.found = c.Keys()
	return ctx
}

func (k *keys) Fields() []string { return []string{"x-trace"} }

func TestAnotherPropagator(t *testing.T) {
	t.Parallel()
	k := new(keys)
	tracer, r := record(tracing.WithPropagator(k))
	require.NoError(t, pass(t.Context(), t, tracer, patterns.Work, nil, nil))
	assert.Equal(t, []string{"x-trace"}, k.found)
	spans := r.Ended()
	assert.NotEqual(t, spans[0].SpanContext().TraceID(), spans[1].SpanContext().TraceID(), "it joins nothing")
	assert.Empty(t, spans[1].Links())
	require.NoError(t, tracer.Handles()(func(context.Context, *patterns.Delivery) error { return nil })(t.Context(), &patterns.Delivery{Kind: patterns.Work}))
}

// Without a provider that makes spans the trace of others still gets through.
func TestTracesPassThroughWhoMakesNone(t *testing.T) {
	t.Parallel()
	tracer := tracing.New(tracing.WithTracerProvider(noop.NewTracerProvider()))
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	in := &codec.Envelope{Headers: []codec.Header{{Key: codec.HeaderTraceparent, Value: parent}, {Key: codec.HeaderTracestate, Value: "vendor=1"}}}
	require.NoError(t, tracer.Handles()(func(ctx context.Context, _ *patterns.Delivery) error {
		o := patterns.NewOutgoing(func(context.Context) error { return nil })
		o.Kind, o.Envelope = patterns.Event, &codec.Envelope{}
		require.NoError(t, patterns.Around(tracer.Sends())(ctx, o))
		assert.Equal(t, parent, o.Envelope.Header(codec.HeaderTraceparent))
		assert.Equal(t, "vendor=1", o.Envelope.Header(codec.HeaderTracestate))
		return nil
	})(t.Context(), &patterns.Delivery{Kind: patterns.Event, Envelope: in}))
	assert.NotPanics(t, func() { // what peers send is any text
		in.Headers[0].Value = "00-zz"
		_ = tracer.Handles()(func(context.Context, *patterns.Delivery) error { return nil })(t.Context(), &patterns.Delivery{Envelope: in})
	})
}
