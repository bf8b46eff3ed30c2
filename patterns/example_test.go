package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// A test of a handler gives it the envelope that a message would have.
func ExampleNewContext() {
	handler := func(ctx context.Context, item string) error {
		fmt.Println(item, "for", patterns.FromContext(ctx).Header("tenant"))
		return nil
	}
	e := &codec.Envelope{}
	e.SetHeader("tenant", "north")
	if err := handler(patterns.NewContext(context.Background(), e), "tea"); err != nil {
		log.Fatal(err)
	}
	// Output: tea for north
}

// A test of a function for WithOnError makes the errors that it would be called with.
func ExampleNewError() {
	hook := func(_ context.Context, err error) {
		failed, ok := errors.AsType[*patterns.Error](err)
		fmt.Println(ok && failed.Op == "decode", errors.Is(err, patterns.ErrType), err)
	}
	e := &codec.Envelope{Type: "Order"}
	hook(context.Background(), patterns.NewError("decode", e, "10.0.0.7:5555", fmt.Errorf("%w %q", patterns.ErrType, e.Type)))
	// Output: true true decode Order from 10.0.0.7:5555: unexpected type "Order"
}

// A test of a middleware passes it a message that goes nowhere.
func ExampleNewOutgoing() {
	tenant := func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			o.Envelope.SetHeader("tenant", "north")
			return next(ctx, o)
		}
	}
	o := patterns.NewOutgoing(func(context.Context) error { return nil })
	o.Envelope = &codec.Envelope{}
	if err := patterns.Around(tenant)(context.Background(), o); err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.Envelope.Header("tenant"))
	// Output: north
}

// An order that cannot be packed is given up at once; one that a lack of paper kept from it is tried again.
func ExampleWithAtLeastOnce() {
	ctx := context.Background()
	letters := make(chan patterns.DeadLetter)
	producer := pushpull.NewProducer[string](patterns.WithAtLeastOnce(), patterns.WithDeadLetters(func(l patterns.DeadLetter) { letters <- l }))
	defer producer.Close()
	addr, err := producer.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	quiet := patterns.WithOnError(func(context.Context, error) {})
	worker := pushpull.NewWorker[string](patterns.WithAtLeastOnce(), quiet)
	if err := worker.Connect(addr); err != nil {
		log.Fatal(err)
	}
	packed := make(chan string)
	paper := false
	var running sync.WaitGroup
	running.Go(func() {
		err := worker.Run(ctx, func(_ context.Context, item string) error {
			switch {
			case item == "water":
				return patterns.Permanent(errors.New("it runs out"))
			case !paper:
				paper = true
				return errors.New("no paper")
			}
			packed <- item
			return nil
		})
		if err != nil {
			log.Print(err)
		}
	})
	for _, item := range []string{"tea", "water"} {
		if err := producer.Send(ctx, item); err != nil {
			log.Fatal(err)
		}
	}
	letter := <-letters
	fmt.Println("given up:", letter.Reason)
	fmt.Println("packed:", <-packed)
	if err := worker.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	running.Wait()
	// Output:
	// given up: it runs out
	// packed: tea
}
