// Schemas: a type changes while old and new programs send it to each other. Old messages are converted, new ones are written for old readers while
// there are any, and what cannot be read is kept with the reason.
//
//	go run ./examples/schema-change
package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/schema"
	"github.com/meshmq/meshmq/socket"
)

// Customer has a name in two parts, since version 2.
type (
	CustomerV1 struct{ Name string }
	Customer   struct{ First, Last string }
)

func splitName(c CustomerV1) (Customer, error) {
	first, last, found := strings.Cut(c.Name, " ")
	if !found {
		return Customer{}, fmt.Errorf("%q has no last name", c.Name)
	}
	return Customer{first, last}, nil
}

func joinName(c Customer) (CustomerV1, error) { return CustomerV1{c.First + " " + c.Last}, nil }

func main() {
	old := registry(schema.Version[CustomerV1]("Customer", 1))
	versions := []schema.Entry{
		schema.Version[CustomerV1]("Customer", 1),
		schema.Version[Customer]("Customer", 2, schema.From(splitName), schema.To(joinName)),
	}
	current := registry(versions...)
	careful := registry(append(versions, schema.WriteAs("Customer", 1))...) // until the last old reader is gone

	fmt.Println("old to new:", send[CustomerV1, Customer](old, current, CustomerV1{"Ada Byron"}))
	fmt.Println("new to old, with care:", send[Customer, CustomerV1](careful, old, Customer{"Ada", "Byron"}))
	fmt.Println("new to new:", send[Customer, Customer](careful, current, Customer{"Ada", "Byron"}))
	fmt.Println("new to old, without:", send[Customer, CustomerV1](current, old, Customer{"Ada", "Byron"}))
	fmt.Println("old to new, not convertible:", send[CustomerV1, Customer](old, current, CustomerV1{"Ada"}))
}

// send sends v from one program to another, and returns what the other's handler gets, or why none does.
func send[In, Out any](sender, reader *schema.Registry, v In) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result := make(chan string, 1)
	producer := pushpull.NewProducer[In](patterns.WithSchemas(sender), patterns.WithSocketOptions(socket.WithAck(),
		socket.WithDeadLetter(func(d socket.DeadLetter) { result <- "dead letter: " + d.Reason })))
	worker := pushpull.NewWorker[Out](patterns.WithSchemas(reader), patterns.WithSocketOptions(socket.WithAck(), socket.WithManualAck()),
		patterns.WithOnError(func(context.Context, error) {})) // the dead letter says it
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	check(err)
	check(producer.Connect(addr))
	check(producer.Send(ctx, v))
	go func() {
		check(worker.Run(ctx, func(_ context.Context, v Out) error { result <- fmt.Sprintf("%+v", v); return nil }))
	}()
	defer func() { check(worker.Shutdown(ctx)) }()
	defer func() { check(producer.Shutdown(ctx)) }() // once all is acknowledged or given up
	return <-result
}

func registry(entries ...schema.Entry) *schema.Registry {
	r, err := schema.New(entries...)
	check(err)
	return r
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
