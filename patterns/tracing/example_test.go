package tracing_test

import (
	"context"
	"fmt"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/tracing"
)

// The spans of one piece of work: a program hands its provider to New, or sets the global one.
func ExampleNew() {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	tracer := tracing.New(tracing.WithTracerProvider(provider))

	producer := pushpull.NewProducer[string](patterns.WithSendMiddleware(tracer.Sends()))
	worker := pushpull.NewWorker[string](patterns.WithMiddleware(tracer.Handles()))
	addr, _ := worker.Bind("inproc://tracing-example")
	_ = producer.Connect(addr)
	_ = producer.Send(context.Background(), "tea", patterns.WithType("Order"))
	_ = worker.Run(context.Background(), func(context.Context, string) error { return worker.Close() })
	_ = producer.Close()

	sent, processed := spans.Ended()[0], spans.Ended()[1]
	fmt.Println(sent.Name(), "->", processed.Name())
	fmt.Println(processed.Parent().SpanID() == sent.SpanContext().SpanID())
	// Output:
	// send Order -> process Order
	// true
}
