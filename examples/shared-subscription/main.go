// Shared subscription: three instances of a service, each a process, share the events of one durable name. One is killed with an order in hand, which another gets.
//
//	go run ./examples/shared-subscription
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket/spool"
)

type Order struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if len(os.Args) > 1 {
		instance(ctx, os.Args[1], os.Args[2])
		return
	}
	const orders = 30
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
	heard, said, err := os.Pipe() // what the instances say
	check(err)
	start := func(name string) *os.Process {
		instance := exec.CommandContext(ctx, os.Args[0], name, addr)
		instance.Stdout, instance.Stderr = said, os.Stderr
		check(instance.Start())
		return instance.Process
	}
	next := func() (number int) {
		_, err := fmt.Fscanln(heard, &number)
		check(err)
		return number
	}
	ben := start("ben") // hangs in its first order
	inHand := next()
	anna, carl := start("anna"), start("carl")
	check(ben.Kill())
	fmt.Println("killed with order", inHand, "in hand")
	packed := map[int]bool{}
	for len(packed) < orders {
		packed[next()] = true
	}
	fmt.Println(len(packed), "of", orders, "orders packed, order", inHand, "among them:", packed[inHand])
	check(anna.Kill())
	check(carl.Kill())
}

// instance is one of those who share the name packing, with few orders at a time. It says which order it has packed, or has in hand if it is ben.
func instance(ctx context.Context, name, addr string) {
	s := pubsub.NewSubscriber(pubsub.WithDurable("packing", spool.Beginning()), patterns.WithPrefetch(5))
	_, err := pubsub.Subscribe(s, "orders.created", func(ctx context.Context, _ string, o Order) error {
		fmt.Println(o.Number)
		if name == "ben" {
			<-ctx.Done()
		}
		return nil
	})
	check(err)
	check(s.Connect(addr))
	check(s.Run(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
