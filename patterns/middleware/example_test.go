package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

type parcel struct{ Grams int }

func (p parcel) Validate() error {
	if p.Grams <= 0 {
		return errors.New("weighs nothing")
	}
	return nil
}

// A worker whose handler is well guarded, and a producer that does not send what the worker would refuse.
func Example() {
	worker := pushpull.NewWorker[parcel](patterns.WithMiddleware(
		middleware.Log(nil),
		middleware.Dedup(10_000, time.Hour),
		middleware.Retry(middleware.RetryPolicy{Attempts: 5}),
		middleware.Timeout(time.Second),
	))
	producer := pushpull.NewProducer[parcel](patterns.WithSendMiddleware(middleware.ValidateSends()))
	addr, _ := worker.Bind("inproc://middleware-example")
	_ = producer.Connect(addr)

	handled := make(chan int)
	tries := 0
	go worker.Run(context.Background(), func(_ context.Context, p parcel) error {
		if tries++; tries == 1 {
			return errors.New("the scales are in use")
		}
		handled <- tries
		return nil
	})
	fmt.Println(producer.Send(context.Background(), parcel{}))
	fmt.Println(producer.Send(context.Background(), parcel{Grams: 200}))
	fmt.Println("attempts:", <-handled)
	_ = producer.Close()
	_ = worker.Close()
	// Output:
	// invalid value: weighs nothing
	// <nil>
	// attempts: 2
}

func try(m patterns.Middleware, handler patterns.Handler) error {
	return m(handler)(context.Background(), &patterns.Delivery{Attempt: 1, Envelope: &codec.Envelope{ID: codec.NewID()}})
}

func ExampleTimeout() {
	fmt.Println(try(middleware.Timeout(time.Millisecond), func(ctx context.Context, _ *patterns.Delivery) error {
		<-ctx.Done() // a handler looks at its context, or hands it on to what it calls
		return ctx.Err()
	}))
	// Output: context deadline exceeded
}

func ExampleRetry() {
	policy := middleware.RetryPolicy{Attempts: 3, First: time.Millisecond}
	fmt.Println(try(middleware.Retry(policy), func(_ context.Context, d *patterns.Delivery) error {
		return fmt.Errorf("attempt %d: no answer", d.Attempt)
	}))
	// Output: attempt 3: no answer
}

func ExampleThrottle() {
	throttle := middleware.Throttle(100, 1)
	begin := time.Now()
	for range 4 {
		_ = try(throttle, func(context.Context, *patterns.Delivery) error { return nil })
	}
	fmt.Println(time.Since(begin) >= 30*time.Millisecond)
	// Output: true
}

func ExampleDedup() {
	calls := 0
	handle := middleware.Dedup(1000, time.Minute)(func(context.Context, *patterns.Delivery) error {
		calls++
		return nil
	})
	e := &codec.Envelope{ID: codec.NewID()}
	for range 3 {
		_ = handle(context.Background(), &patterns.Delivery{Envelope: e, Attempt: 1})
	}
	fmt.Println(calls)
	// Output: 1
}

func ExampleBreaker() {
	handle := middleware.Breaker(middleware.BreakerPolicy{Failures: 2})(func(context.Context, *patterns.Delivery) error {
		return errors.New("no database")
	})
	for range 3 {
		fmt.Println(handle(context.Background(), &patterns.Delivery{Attempt: 1}))
	}
	// Output:
	// no database
	// no database
	// circuit breaker open
}

func ExampleValidateFunc() {
	check := middleware.ValidateFunc(func(_ context.Context, p *parcel) error {
		if p.Grams > 30_000 {
			return errors.New("too heavy to lift")
		}
		return nil
	})
	handle := check(func(context.Context, *patterns.Delivery) error { return nil })
	fmt.Println(handle(context.Background(), &patterns.Delivery{Value: &parcel{Grams: 40_000}}))
	// Output: invalid value: too heavy to lift
}
