package exchange_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns/exchange"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// route routes one order by a router whose only destination is to.
func route(ctx context.Context, to *exchange.Destination) {
	r := exchange.New(exchange.Alternate(to))
	if err := r.Route(ctx, &exchange.Message{Topic: "orders.eu.created", Value: Order{1, 20}}); err != nil {
		log.Fatal(err)
	}
}

// Any function is a destination. Its error is one of Route.
func ExampleTo() {
	route(context.Background(), exchange.To("ledger", func(_ context.Context, m *exchange.Message) error {
		fmt.Println("noted", m.Topic)
		return nil
	}))
	// Output: noted orders.eu.created
}

// Workers are a destination by the producer that leads to them.
func ExampleToProducer() {
	ctx := context.Background()
	worker, producer := pushpull.NewWorker[Order](), pushpull.NewProducer[Order]()
	defer producer.Close()
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := producer.Connect(addr); err != nil {
		log.Fatal(err)
	}
	route(ctx, exchange.ToProducer("packers", producer))
	err = worker.Run(ctx, func(_ context.Context, o Order) error {
		fmt.Println("packed order", o.Number)
		return worker.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: packed order 1
}

// Subscribers are one by their publisher. The topic of the message is that of the event.
func ExampleToPublisher() {
	ctx := context.Background()
	publisher, subscriber := pubsub.NewPublisher(), pubsub.NewSubscriber()
	defer publisher.Close()
	_, err := pubsub.Subscribe(subscriber, "orders.>", func(_ context.Context, topic string, o Order) error {
		fmt.Println("heard of order", o.Number, "by", topic)
		return subscriber.Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	addr, err := publisher.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := subscriber.Connect(addr); err != nil {
		log.Fatal(err)
	}
	if err := publisher.WaitSubscribers(ctx, "orders.>", 1); err != nil {
		log.Fatal(err)
	}
	route(ctx, exchange.ToPublisher("board", publisher))
	if err := subscriber.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: heard of order 1 by orders.eu.created
}

// A method of a service is one by a client. What it answers goes to a function.
func ExampleToMethod() {
	ctx := context.Background()
	service, client := reqrep.NewService(), reqrep.NewClient()
	err := reqrep.Handle(service, "orders.check", func(_ context.Context, o Order) (bool, error) { return o.Total < 100, nil })
	if err != nil {
		log.Fatal(err)
	}
	addr, err := service.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- service.Run(ctx) }()
	if err := client.Connect(addr); err != nil {
		log.Fatal(err)
	}
	route(ctx, exchange.ToMethod[Order]("checks", client, "orders.check", func(_ context.Context, good bool) error {
		fmt.Println("good:", good)
		return nil
	}))
	if err := client.Close(); err != nil {
		log.Fatal(err)
	}
	if err := service.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-ended)
	// Output:
	// good: true
	// <nil>
}

// A router is a destination of others: rules by region here, by kind of event there.
func ExampleToRouter() {
	europe := exchange.New(exchange.Alternate(printing("hamburg")))
	if _, err := europe.Bind("new ones", exchange.Topic("orders.*.created"), printing("rotterdam")); err != nil {
		log.Fatal(err)
	}
	world := exchange.New(exchange.MatchFirst())
	if _, err := world.Bind("europe", exchange.Topic("orders.eu.*"), exchange.ToRouter("europe", europe)); err != nil {
		log.Fatal(err)
	}
	for _, topic := range []string{"orders.eu.created", "orders.eu.paid"} {
		if err := world.Route(context.Background(), &exchange.Message{Topic: topic}); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// rotterdam gets orders.eu.created
	// hamburg gets orders.eu.paid
}
