// Choreography: three services bring an order to its end by reacting to each other's events. Nobody directs them; each knows what
// it listens to and what it says. What belongs together has one correlation id.
//
//	go run ./examples/choreography
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
)

// Order is what all events are about.
type Order struct {
	Number, Price int
}

// service publishes events and reacts to those of others.
type service struct {
	name      string
	publisher *pubsub.Publisher
	hears     *pubsub.Subscriber
	addr      string
	react     func(ctx context.Context, s *service, topic string, o Order) error
}

func (s *service) say(ctx context.Context, topic string, o Order) error {
	fmt.Printf("%s: %s, order %d\n", s.name, topic, o.Number)
	return s.publisher.Publish(ctx, topic, o)
}

// The whole of the business: who does what when which event is heard.
var orders = &service{name: "orders", react: func(ctx context.Context, s *service, topic string, o Order) error {
	switch topic {
	case "parcel.sent":
		return s.say(ctx, "order.completed", o)
	case "payment.refused":
		return s.say(ctx, "order.cancelled", o)
	}
	return nil
}}

var payments = &service{name: "payments", react: func(ctx context.Context, s *service, topic string, o Order) error {
	switch {
	case topic != "order.placed":
		return nil
	case o.Price > 100:
		return s.say(ctx, "payment.refused", o)
	}
	return s.say(ctx, "payment.received", o)
}}

var shipping = &service{name: "shipping", react: func(ctx context.Context, s *service, topic string, o Order) error {
	if topic != "payment.received" {
		return nil
	}
	return s.say(ctx, "parcel.sent", o)
}}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	services := []*service{orders, payments, shipping}
	for _, s := range services {
		s.publisher = pubsub.NewPublisher(patterns.WithSource(s.name))
		defer s.publisher.Close()
		var err error
		if s.addr, err = s.publisher.Bind("tcp://127.0.0.1:0"); err != nil {
			log.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for _, s := range services {
		s.listen(ctx, &running, services)
	}
	ended := make(chan codec.ID, 1)
	customer := &service{name: "customer", react: func(ctx context.Context, _ *service, topic string, o Order) error {
		if topic == "order.completed" || topic == "order.cancelled" {
			ended <- patterns.FromContext(ctx).CorrelationID
		}
		return nil
	}}
	customer.listen(ctx, &running, services)
	for _, s := range services {
		if err := s.publisher.WaitSubscribers(ctx, "order", len(services)+1); err != nil {
			log.Fatal(err)
		}
	}

	for _, o := range []Order{{Number: 1, Price: 80}, {Number: 2, Price: 800}} {
		request := &codec.Envelope{ID: codec.NewID()} // by which the customer orders, say
		if err := orders.say(patterns.NewContext(ctx, request), "order.placed", o); err != nil {
			log.Fatal(err)
		}
		if <-ended != request.ID {
			log.Fatal("another conversation has ended")
		}
	}
	for _, s := range append(services, customer) {
		_ = s.hears.Close()
	}
	running.Wait()
}

// listen has a service hear all events of all services.
func (s *service) listen(ctx context.Context, running *sync.WaitGroup, services []*service) {
	s.hears = pubsub.NewSubscriber()
	_, err := pubsub.Subscribe(s.hears, ">", func(ctx context.Context, topic string, o Order) error {
		return s.react(ctx, s, topic, o) // what it says with this ctx belongs to the same conversation
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, other := range services {
		if err := s.hears.Connect(other.addr); err != nil {
			log.Fatal(err)
		}
	}
	running.Go(func() {
		if err := s.hears.Run(ctx); err != nil {
			log.Fatal(err)
		}
	})
}
