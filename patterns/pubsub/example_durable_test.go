package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Patterns are checked when they are subscribed to, and a subscription can be ended while the subscriber runs.
func ExampleSubscribe() {
	subscriber := pubsub.NewSubscriber()
	defer subscriber.Close()
	print := func(_ context.Context, topic string, e Created) error {
		fmt.Println(topic, e.Number)
		return nil
	}
	subscription, err := pubsub.Subscribe(subscriber, "orders.*.created", print)
	if err != nil {
		log.Fatal(err)
	}
	_, err = pubsub.Subscribe(subscriber, "orders.>.created", print)
	fmt.Println(errors.Is(err, pubsub.ErrTopic), err)
	fmt.Println(subscription.Unsubscribe())
	// Output:
	// true subscribe: malformed topic "orders.>.created": '>' stands for the rest, so nothing can follow it
	// <nil>
}

// A subscriber with a durable name gets what was published while it was away.
func ExampleWithDurable() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	publisher := pubsub.NewPublisher(pubsub.WithLog(dir, spool.Options{}))
	defer publisher.Close()
	addr, err := publisher.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	for n := range 3 {
		if err := publisher.Publish(ctx, "orders.created", Created{Number: n + 1}); err != nil {
			log.Fatal(err)
		}
	}
	subscriber := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.Beginning()))
	_, err = pubsub.Subscribe(subscriber, "orders.>", func(ctx context.Context, _ string, e Created) error {
		fmt.Println("billed order", e.Number)
		if e.Number == 3 {
			go subscriber.Shutdown(ctx) // a real one is told to from elsewhere
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := subscriber.Connect(addr); err != nil {
		log.Fatal(err)
	}
	fmt.Println(subscriber.Run(ctx))
	// Output:
	// billed order 1
	// billed order 2
	// billed order 3
	// <nil>
}

// The process that has the log builds a read model from it, and goes on later where it was.
func ExampleReplay() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	events, err := spool.Open(dir, spool.Options{Kind: spool.Topic})
	if err != nil {
		log.Fatal(err)
	}
	publisher := pubsub.NewPublisher(pubsub.WithLogOn(socket.SpoolOf(events)))
	defer publisher.Close() // and the log
	for n, topic := range []string{"orders.eu.created", "orders.us.created", "orders.eu.created"} {
		if err := publisher.Publish(ctx, topic, Created{Number: n + 1}); err != nil {
			log.Fatal(err)
		}
	}
	model := map[string]int{}
	next, err := pubsub.Replay(ctx, events, spool.Beginning(), "orders.*.created", func(_ context.Context, topic string, e Created) error {
		model[topic]++
		return nil
	})
	fmt.Println(model, err)
	fmt.Println("go on at", next)
	// Output:
	// map[orders.eu.created:2 orders.us.created:1] <nil>
	// go on at 4
}
