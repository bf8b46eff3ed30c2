// Order by key: bookings of one account are made one after the other, in the order they were sent, also when one has to be tried again. Accounts do not wait
// for each other: eight handlers run at the same time in each of two workers, over which the accounts are split.
//
//	go run ./examples/order-by-key
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/exchange"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

type Booking struct {
	Account string
	Number  int
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	made, by, refused := map[string]int{}, map[string]int{}, map[Booking]bool{}
	ordered := true
	book := func(worker int) func(context.Context, Booking) error {
		return func(_ context.Context, b Booking) error {
			mu.Lock()
			defer mu.Unlock()
			if b.Number%10 == 3 && !refused[b] {
				refused[b] = true
				return errors.New("deadlock detected, try again")
			}
			ordered = ordered && b.Number == made[b.Account] && (b.Number == 0 || by[b.Account] == worker)
			made[b.Account]++
			by[b.Account] = worker
			return nil
		}
	}
	var ends []func()
	var parts []exchange.Part
	for i := range 2 { // a worker orders what comes to it: so each has a producer, and each account one of those
		producer := pushpull.NewProducer[Booking](patterns.WithAtLeastOnce())
		defer producer.Close()
		worker := pushpull.NewWorker[Booking](
			patterns.WithAtLeastOnce(),
			patterns.WithConcurrency(8),
			patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 5, Min: time.Millisecond, Max: 10 * time.Millisecond}),
			patterns.WithOnError(func(context.Context, error) {}),
		)
		addr, err := worker.Bind("tcp://127.0.0.1:0")
		check(err)
		check(producer.Connect(addr))
		go func() { check(worker.Run(ctx, book(i))) }() // ended by Shutdown
		ends = append(ends, func() { check(errors.Join(producer.WaitAcked(ctx), worker.Shutdown(ctx))) })
		parts = append(parts, exchange.Part{To: exchange.ToProducer(fmt.Sprint("worker ", i), producer), Weight: 1})
	}
	all, err := exchange.Split("bookings", parts...)
	check(err)
	router := exchange.New(exchange.Alternate(all))
	for i := range 50 {
		for _, account := range []string{"anna", "ben", "carl"} {
			check(router.Route(ctx, &exchange.Message{Key: account, Value: Booking{account, i}}))
		}
	}
	for _, end := range ends {
		end()
	}
	fmt.Println("made:", made)
	fmt.Println("by worker:", by)
	fmt.Println("tried again:", len(refused))
	fmt.Println("in order:", ordered)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
