// Order by key: bookings of one account are made one after the other, in the order they were sent, also when one has to be tried again. Accounts do not wait
// for each other: eight handlers run at the same time.
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
	"github.com/meshmq/meshmq/patterns/pushpull"
)

type Booking struct {
	Account string
	Number  int
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
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

	var mu sync.Mutex
	made, refused := map[string]int{}, map[Booking]bool{}
	ordered := true
	go func() { // ended by Shutdown
		check(worker.Run(ctx, func(_ context.Context, b Booking) error {
			mu.Lock()
			defer mu.Unlock()
			if b.Number%10 == 3 && !refused[b] {
				refused[b] = true
				return errors.New("deadlock detected, try again")
			}
			ordered = ordered && b.Number == made[b.Account]
			made[b.Account]++
			return nil
		}))
	}()
	for i := range 50 {
		for _, account := range []string{"anna", "ben", "carl"} {
			check(producer.Send(ctx, Booking{account, i}, patterns.WithKey(account)))
		}
	}
	check(producer.WaitAcked(ctx))
	check(worker.Shutdown(ctx))
	fmt.Println("made:", made)
	fmt.Println("tried again:", len(refused))
	fmt.Println("in order:", ordered)
	if !ordered {
		log.Fatal("one overtook another")
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
