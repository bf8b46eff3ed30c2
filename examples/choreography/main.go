// Choreography: three services bring an order to its end by reacting to each other's events. Nobody directs them; each knows what
// it listens to and what it says. What belongs together has one correlation id.
//
//	go run ./examples/choreography
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
)

type Order struct{ Number, Price int }

// The whole of the business: what each service says when it hears what.
var business = map[string]map[string]func(Order) (say string){
	"orders":   {"parcel.sent": says("order.closed.shipped"), "payment.refused": says("order.closed.unpaid")},
	"shipping": {"payment.received": says("parcel.sent")},
	"payments": {"order.placed": func(o Order) string {
		if o.Price > 100 {
			return "payment.refused"
		}
		return "payment.received"
	}},
}

func says(it string) func(Order) string { return func(Order) string { return it } }

func main() {
	ctx := context.Background()
	news, addrs := map[string]*pubsub.Publisher{}, []string{}
	for name := range business {
		p := pubsub.NewPublisher(patterns.WithSource(name))
		defer p.Close()
		addr, err := p.Bind("tcp://127.0.0.1:0")
		check(err)
		news[name], addrs = p, append(addrs, addr)
	}
	for name, rules := range business {
		for heard, say := range rules {
			defer listen(ctx, addrs, heard, func(ctx context.Context, topic string, o Order) error {
				fmt.Printf("order %d: %s hears %s and says %s\n", o.Number, name, topic, say(o))
				return news[name].Publish(ctx, say(o), o) // with this ctx it belongs to the same conversation
			})()
		}
	}
	ended := make(chan codec.ID)
	defer listen(ctx, addrs, "order.closed.*", func(ctx context.Context, _ string, _ Order) error { // the customer
		ended <- patterns.FromContext(ctx).Conversation()
		return nil
	})()
	for _, p := range news {
		for _, topic := range []string{"order.placed", "payment.received", "payment.refused", "parcel.sent", "order.closed.any"} {
			check(p.WaitSubscribers(ctx, topic, 1))
		}
	}
	for _, o := range []Order{{1, 80}, {2, 800}} {
		request := &codec.Envelope{ID: codec.NewID()} // by which the customer orders, say
		check(news["orders"].Publish(patterns.NewContext(ctx, request), "order.placed", o))
		fmt.Printf("order %d: ended, the same conversation: %t\n", o.Number, <-ended == request.ID)
	}
}

// listen has react hear all services' events of a topic, until what it returns is called.
func listen(ctx context.Context, addrs []string, topic string, react func(context.Context, string, Order) error) (stop func()) {
	s, done := pubsub.NewSubscriber(), make(chan struct{})
	_, err := pubsub.Subscribe(s, topic, react)
	check(err)
	for _, addr := range addrs {
		check(s.Connect(addr))
	}
	go func() { defer close(done); check(s.Run(ctx)) }()
	return func() { check(s.Close()); <-done }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
