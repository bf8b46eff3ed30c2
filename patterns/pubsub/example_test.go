package pubsub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns/pubsub"
)

// A publisher waits for the subscriber that must not miss the first event.
func ExampleNewPublisher() {
	ctx := context.Background()
	publisher := pubsub.NewPublisher()
	defer publisher.Close()
	addr, err := publisher.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	subscriber := pubsub.NewSubscriber()
	defer subscriber.Close()
	_, err = pubsub.Subscribe(subscriber, "orders.>", func(_ context.Context, topic string, e Created) error {
		fmt.Println(topic, e.Number)
		return subscriber.Close() // one is enough here
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := subscriber.Connect(addr); err != nil {
		log.Fatal(err)
	}
	if err := publisher.WaitSubscribers(ctx, "orders.eu.created", 1); err != nil {
		log.Fatal(err)
	}
	if err := publisher.Publish(ctx, "orders.eu.created", Created{Number: 1}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(subscriber.Run(ctx))
	// Output:
	// orders.eu.created 1
	// <nil>
}

// A subscriber has one handler for each pattern, and each handler its own type.
func ExampleNewSubscriber() {
	ctx := context.Background()
	subscriber := pubsub.NewSubscriber()
	addr, err := subscriber.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	_, err = pubsub.Subscribe(subscriber, "orders.*.created", func(_ context.Context, topic string, e Created) error {
		fmt.Println("created:", e.Number)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = pubsub.Subscribe(subscriber, "orders.*.cancelled", func(_ context.Context, topic string, e Cancelled) error {
		fmt.Println("cancelled:", e.Reason)
		return subscriber.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	publisher := pubsub.NewPublisher()
	defer publisher.Close()
	if err := publisher.Connect(addr); err != nil {
		log.Fatal(err)
	}
	if err := publisher.WaitSubscribers(ctx, "orders.eu.cancelled", 1); err != nil {
		log.Fatal(err)
	}
	if err := publisher.Publish(ctx, "orders.eu.created", Created{Number: 1}); err != nil {
		log.Fatal(err)
	}
	if err := publisher.Publish(ctx, "orders.eu.cancelled", Cancelled{Reason: "sold out"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(subscriber.Run(ctx))
	// Output:
	// created: 1
	// cancelled: sold out
	// <nil>
}
