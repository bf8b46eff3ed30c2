// Offline subscriber: the publisher keeps its events in a log, and a subscriber with a durable name gets those of the time when it was away.
//
//	go run ./examples/offline-subscriber
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket/spool"
)

type Order struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "shop")
	check(err)
	defer os.RemoveAll(dir)
	shop := pubsub.NewPublisher(pubsub.WithLog(dir, spool.Options{Retention: spool.Retention{Age: 7 * 24 * time.Hour}}))
	defer shop.Close()
	addr, err := shop.Bind("tcp://127.0.0.1:0")
	check(err)

	number := 0
	order := func(n int) {
		for range n {
			number++
			check(shop.Publish(ctx, "orders.created", Order{number}))
		}
	}
	order(2)
	bill(ctx, addr, 2)
	fmt.Println("billing is away")
	order(3)
	bill(ctx, addr, 3)
	fmt.Println(number, "orders, none missed")
}

// bill handles n events under the name billing, which goes on where it was.
func bill(ctx context.Context, addr string, n int) {
	billing := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.Beginning()))
	billed := make(chan int)
	_, err := pubsub.Subscribe(billing, "orders.*", func(_ context.Context, _ string, o Order) error {
		fmt.Println("billing: order", o.Number)
		billed <- o.Number
		return nil // which acknowledges it
	})
	check(err)
	check(billing.Connect(addr))
	ended := make(chan error)
	go func() { ended <- billing.Run(ctx) }()
	for range n {
		<-billed
	}
	check(billing.Shutdown(ctx)) // once the last one is acknowledged
	check(<-ended)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
