// Saga: booking a trip takes a seat, a payment and a ticket, of three services. What cannot be finished is undone, in reverse order.
//
//	go run ./examples/saga
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
)

// Trip is what the saga is about. Its steps leave in it what later ones need.
type Trip struct {
	Price int
	Seat  string
}

var trip = saga.Define("trip", 1,
	saga.Step[Trip]{
		Name: "seat",
		Do: func(ctx context.Context, t *Trip) error {
			t.Seat = "12A"
			fmt.Println("seats: 12A is reserved") // a real one gives the service saga.Key(ctx), to be known when it calls again
			return nil
		},
		Undo: func(ctx context.Context, t *Trip) error {
			fmt.Println("seats:", t.Seat, "is free again")
			return nil
		},
	},
	saga.Step[Trip]{
		Name: "payment",
		Do: func(ctx context.Context, t *Trip) error {
			if t.Price > 100 {
				fmt.Println("bank: declined")
				return patterns.Permanent(errors.New("not enough money"))
			}
			fmt.Println("bank: paid", t.Price)
			return nil
		},
		Undo: func(ctx context.Context, t *Trip) error {
			fmt.Println("bank: nothing to pay back")
			return nil
		},
	},
	saga.Step[Trip]{
		Name: "ticket",
		Do: func(ctx context.Context, t *Trip) error {
			if saga.FromContext(ctx).Number == 1 {
				fmt.Println("tickets: out of order")
				return errors.New("the printer is jammed")
			}
			fmt.Println("tickets: sent, for seat", t.Seat)
			return nil
		},
	},
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "saga")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	journal, err := saga.OpenJournal(filepath.Join(dir, "journal"), saga.JournalOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close()
	runner := saga.NewRunner(trip, journal, saga.WithHook(func(context.Context, saga.Event) {}))
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()

	for _, price := range []int{80, 800} {
		id := fmt.Sprint("for ", price)
		if err := runner.Start(ctx, id, Trip{Price: price}); err != nil {
			log.Fatal(err)
		}
		record, _, err := runner.Wait(ctx, id)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("trip", id, "is", record.State)
	}
	if err := errors.Join(runner.Shutdown(ctx), <-done); err != nil {
		log.Fatal(err)
	}
}
