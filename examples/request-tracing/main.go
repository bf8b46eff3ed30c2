// Tracing: a request goes through three services, as if each were a process. Their OpenTelemetry spans join in one trace, printed as a tree.
//
//	go run ./examples/request-tracing
package main

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/patterns/tracing"
)

type Order struct{ Item string }

var spans = tracetest.NewSpanRecorder() // in place of an exporter

// traced returns the options of a service that traces what it sends and what it handles.
func traced(service string) (sends, handles patterns.Option) {
	tracer := tracing.New(tracing.WithTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))))
	return patterns.WithSendMiddleware(tracer.Sends()), patterns.WithMiddleware(tracer.Handles())
}

func main() {
	ctx := context.Background()
	asks, _ := traced("customer")
	shopSends, shopHandles := traced("shop")
	packerSends, packerHandles := traced("warehouse")
	_, mailHandles := traced("mail")
	customer, shop := reqrep.NewClient(asks), reqrep.NewService(shopHandles)
	jobs, packer := pushpull.NewProducer[Order](shopSends), pushpull.NewWorker[Order](packerHandles)
	news, mail := pubsub.NewPublisher(packerSends), pubsub.NewSubscriber(mailHandles)
	join(shop, customer)
	join(packer, jobs)
	join(news, mail)
	mailed := make(chan struct{})
	check(reqrep.Handle(shop, "orders.create", func(ctx context.Context, o Order) (Order, error) { return o, jobs.Send(ctx, o) }))
	_, err := pubsub.Subscribe(mail, "orders.packed", func(context.Context, string, Order) error { close(mailed); return nil })
	check(err)
	pack := func(ctx context.Context, o Order) error { return news.Publish(ctx, "orders.packed", o) }
	go func() { check(shop.Run(ctx)) }() // these end by Shutdown
	go func() { check(mail.Run(ctx)) }()
	go func() { check(packer.Run(ctx, pack)) }()
	check(news.WaitSubscribers(ctx, "orders.packed", 1))
	_, err = reqrep.Call[Order, Order](ctx, customer, "orders.create", Order{"tea"})
	check(err)
	<-mailed
	for _, part := range []interface{ Shutdown(context.Context) error }{customer, shop, jobs, packer, news, mail} {
		check(part.Shutdown(ctx))
	}
	fmt.Println("spans:", printTree([8]byte{}, ""), "of", len(spans.Ended()))
}

// printTree prints the spans below parent, and returns how many there are.
func printTree(parent [8]byte, indent string) (n int) {
	for _, s := range spans.Ended() {
		if s.Parent().SpanID() == parent {
			fmt.Printf("%s%s: %s (%v)\n", indent, s.Resource().Attributes()[0].Value.AsString(), s.Name(), s.SpanKind())
			n += 1 + printTree(s.SpanContext().SpanID(), indent+"  ")
		}
	}
	return n
}

func join(server interface{ Bind(string) (string, error) }, client interface{ Connect(string) error }) {
	addr, err := server.Bind("tcp://127.0.0.1:0")
	check(err)
	check(client.Connect(addr))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
