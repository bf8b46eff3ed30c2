// Shared subscription: three instances of a service share the events of one durable name. One is killed with an order in hand, which another gets.
//
//	go run ./examples/shared-subscription
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket/spool"
)

type Order struct{ Number int }

const orders = 30

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "shop")
	check(err)
	defer os.RemoveAll(dir)
	shop := pubsub.NewPublisher(pubsub.WithLog(dir, spool.Options{}))
	defer shop.Close()
	addr, err := shop.Bind("tcp://127.0.0.1:0")
	check(err)
	for n := range orders {
		check(shop.Publish(ctx, "orders.created", Order{n + 1}))
	}

	stuck, packed := make(chan int), make(chan int, orders)
	ben := instance(addr, func(ctx context.Context, o Order) error { // hangs in its first order
		stuck <- o.Number
		<-ctx.Done()
		return ctx.Err()
	})
	var all sync.WaitGroup
	all.Go(func() { check(ben.Run(ctx)) })
	inHand := <-stuck
	others := []*pubsub.Subscriber{}
	for range 2 {
		other := instance(addr, func(_ context.Context, o Order) error { packed <- o.Number; return nil })
		others = append(others, other)
		all.Go(func() { check(other.Run(ctx)) })
	}
	fmt.Println("killed with order", inHand, "in hand")
	check(ben.Close()) // as if its process had ended
	seen := map[int]bool{}
	for len(seen) < orders {
		seen[<-packed] = true
	}
	fmt.Println(len(seen), "of", orders, "orders packed, order", inHand, "among them:", seen[inHand])
	for _, other := range others {
		check(other.Shutdown(ctx))
	}
	all.Wait()
}

// instance returns one of those who share the name packing, with few orders at a time.
func instance(addr string, pack func(context.Context, Order) error) *pubsub.Subscriber {
	s := pubsub.NewSubscriber(pubsub.WithDurable("packing", spool.Beginning()), patterns.WithPrefetch(5),
		patterns.WithOnError(func(context.Context, error) {}))
	_, err := pubsub.Subscribe(s, "orders.created", func(ctx context.Context, _ string, o Order) error { return pack(ctx, o) })
	check(err)
	check(s.Connect(addr))
	return s
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
