package exchange_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns/exchange"
)

// printing is a destination that prints what it gets.
func printing(name string) *exchange.Destination {
	return exchange.To(name, func(_ context.Context, m *exchange.Message) error {
		fmt.Println(name, "gets", m.Topic)
		return nil
	})
}

// A router sends orders where rules say, by their topic and by what is in them.
func ExampleNew() {
	r := exchange.New(exchange.Alternate(printing("returns")))
	bind := func(name string, rule exchange.Rule, to ...*exchange.Destination) {
		if _, err := r.Bind(name, rule, to...); err != nil {
			log.Fatal(err)
		}
	}
	bind("europe", exchange.Topic("orders.eu.>"), printing("hamburg"))
	bind("large ones", exchange.And(exchange.Topic("orders.>"), exchange.Value("above 1000", func(o Order) bool { return o.Total > 1000 })), printing("fraud desk"))
	ctx := context.Background()
	for _, m := range []exchange.Message{
		{Topic: "orders.eu.created", Value: Order{1, 20}},
		{Topic: "orders.us.created", Value: Order{2, 2000}},
		{Topic: "complaints", Value: "too late"},
	} {
		if err := r.Route(ctx, &m); err != nil {
			log.Fatal(err)
		}
	}
	_, err := r.Bind("broken", exchange.Topic("orders..created"), printing("nobody"))
	fmt.Println(err)
	// Output:
	// hamburg gets orders.eu.created
	// fraud desk gets orders.us.created
	// returns gets complaints
	// bind "broken": malformed rule Topic("orders..created"): malformed topic "orders..created": empty level
}

// Three of four messages go to the large warehouse, those of one customer always to the same.
func ExampleSplit() {
	to := func(name string) *exchange.Destination {
		return exchange.To(name, func(_ context.Context, m *exchange.Message) error {
			fmt.Println(m.Key, "to", name)
			return nil
		})
	}
	warehouses, err := exchange.Split("warehouses", exchange.Part{To: to("large"), Weight: 3}, exchange.Part{To: to("small"), Weight: 1})
	if err != nil {
		log.Fatal(err)
	}
	r := exchange.New(exchange.Alternate(warehouses))
	for _, customer := range []string{"anna", "ben", "anna", "max", "ben"} {
		if err := r.Route(context.Background(), &exchange.Message{Key: customer}); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// anna to large
	// ben to large
	// anna to large
	// max to small
	// ben to large
}
