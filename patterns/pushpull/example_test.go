package pushpull_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// A worker binds, handles what it is sent, and shuts down in order.
func ExampleNewWorker() {
	ctx := context.Background()
	worker := pushpull.NewWorker[Order]()
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	producer := pushpull.NewProducer[Order]()
	defer producer.Close()
	if err := producer.Connect(addr); err != nil {
		log.Fatal(err)
	}
	if err := producer.Send(ctx, Order{Number: 1, Item: "tea"}); err != nil {
		log.Fatal(err)
	}
	err = worker.Run(ctx, func(ctx context.Context, o Order) error {
		fmt.Println("packed order", o.Number, o.Item)
		return worker.Close() // a real one has Shutdown called from elsewhere
	})
	fmt.Println("ended:", err)
	// Output:
	// packed order 1 tea
	// ended: <nil>
}

// A producer names itself, and tells its workers more than the value by headers.
func ExampleNewProducer() {
	ctx := context.Background()
	worker := pushpull.NewWorker[Order]()
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	producer := pushpull.NewProducer[Order](patterns.WithSource("order-desk"))
	defer producer.Close()
	if err := producer.Connect(addr); err != nil {
		log.Fatal(err)
	}
	if err := producer.Send(ctx, Order{Item: "tea"}, patterns.WithHeader("tenant", "north")); err != nil {
		log.Fatal(err)
	}
	err = worker.Run(ctx, func(ctx context.Context, o Order) error {
		e := patterns.FromContext(ctx)
		fmt.Println(e.Type, "for", o.Item, "from", e.Source, "of", e.Header("tenant"))
		return worker.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: Order for tea from order-desk of north
}
