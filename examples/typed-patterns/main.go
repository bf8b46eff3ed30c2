// Typed patterns: values instead of bytes. A shop takes orders by request, has them packed by workers, and tells who wants to know.
//
//	go run ./examples/typed-patterns
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

type Order struct {
	Number int
	Item   string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	jobs := pushpull.NewProducer[Order](patterns.WithSource("shop"))
	shop := reqrep.NewService(patterns.WithSource("shop"))
	worker := pushpull.NewWorker[Order]()
	news := pubsub.NewPublisher(patterns.WithSource("worker"))
	customer := reqrep.NewClient()
	board := pubsub.NewSubscriber()
	join(worker, jobs)
	join(shop, customer)
	join(news, board)

	number, packed := 0, make(chan struct{})
	check(reqrep.Handle(shop, "orders.create", func(ctx context.Context, o Order) (Order, error) {
		if o.Item == "" {
			return o, reqrep.Errorf("empty_order", "say what you want")
		}
		number++ // one customer, one call at a time
		o.Number = number
		return o, jobs.Send(ctx, o)
	}))
	_, err := pubsub.Subscribe(board, "orders.*.packed", func(ctx context.Context, topic string, o Order) error {
		fmt.Println("board:", topic, "number", o.Number, "told by the", patterns.FromContext(ctx).Source)
		packed <- struct{}{}
		return nil
	})
	check(err)
	pack := func(ctx context.Context, o Order) error { return news.Publish(ctx, "orders."+o.Item+".packed", o) }
	go func() { check(shop.Run(ctx)) }() // these end by Shutdown
	go func() { check(worker.Run(ctx, pack)) }()
	go func() { check(board.Run(ctx)) }()
	check(news.WaitSubscribers(ctx, "orders.tea.packed", 1))

	for _, item := range []string{"tea", "coffee", ""} {
		o, err := reqrep.Call[Order, Order](ctx, customer, "orders.create", Order{Item: item})
		if refused, ok := errors.AsType[*reqrep.Error](err); ok {
			fmt.Println("customer: refused with code", refused.Code, "-", refused.Message)
			break
		}
		check(err)
		<-packed
		fmt.Println("customer: ordered", item, "- number", o.Number)
	}
	for _, part := range []interface{ Shutdown(context.Context) error }{customer, shop, jobs, worker, news, board} {
		check(part.Shutdown(ctx))
	}
	fmt.Println("closed:", shop.Counts().Handled, "requests,", worker.Counts().Handled, "jobs,", board.Counts().Handled, "events")
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
