// Content routing: a shop sends each order where rules say, by its topic, its headers and what is in it. The rules are evaluated here, at the sender.
//
//	go run ./examples/content-routing
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/exchange"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

type Order struct {
	Number int
	Total  int
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	packing, packer := pushpull.NewProducer[Order](), pushpull.NewWorker[Order]()
	news, board := pubsub.NewPublisher(), pubsub.NewSubscriber()
	join(packer, packing)
	join(news, board)
	done := make(chan string, 10)
	_, err := pubsub.Subscribe(board, "orders.>", func(_ context.Context, topic string, o Order) error {
		done <- fmt.Sprintln("board:", topic, "number", o.Number)
		return nil
	})
	check(err)
	go func() { check(board.Run(ctx)) }() // these end by Shutdown
	go func() {
		check(packer.Run(ctx, func(_ context.Context, o Order) error { done <- fmt.Sprintln("packer: order", o.Number); return nil }))
	}()
	check(news.WaitSubscribers(ctx, "orders.>", 1))

	r := exchange.New()
	bind(r, "europe", exchange.Topic("orders.eu.>"), exchange.ToProducer("packing", packing))
	bind(r, "large", exchange.And(exchange.Direct("orders.eu.created", "orders.us.created"), exchange.Value("above 1000", func(o Order) bool { return o.Total > 1000 })),
		exchange.ToPublisher("board", news))
	bind(r, "gifts", exchange.HeadersAny(codec.Header{Key: "gift"}), exchange.To("ribbons", func(_ context.Context, m *exchange.Message) error {
		done <- fmt.Sprintln("ribbons: order", m.Value.(Order).Number)
		return nil
	}))
	for _, m := range []exchange.Message{
		{Topic: "orders.eu.created", Value: Order{1, 20}},
		{Topic: "orders.eu.created", Value: Order{2, 2000}},
		{Topic: "orders.us.created", Value: Order{3, 30}, Headers: []codec.Header{{Key: "gift", Value: "yes"}}},
	} {
		check(r.Route(ctx, &m))
	}
	for range 4 {
		fmt.Print(<-done)
	}
	err = r.Route(ctx, &exchange.Message{Topic: "orders.us.created", Value: Order{4, 40}})
	fmt.Println(err, "-", errors.Is(err, exchange.ErrUnroutable))
	for _, part := range []interface{ Shutdown(context.Context) error }{packing, packer, news, board} {
		check(part.Shutdown(ctx))
	}
}

func bind(r *exchange.Router, name string, rule exchange.Rule, to *exchange.Destination) {
	_, err := r.Bind(name, rule, to)
	check(err)
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
