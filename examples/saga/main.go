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

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
)

// Trip is what the saga is about. Its steps leave in it what later ones need.
type Trip struct {
	Price int
	Seat  string
}

var trip = saga.Define("trip", 1,
	saga.Step[Trip]{Name: "seat", Do: reserve, Undo: release},
	saga.Step[Trip]{Name: "payment", Do: pay, Undo: payBack},
	saga.Step[Trip]{Name: "ticket", Do: send},
)

func reserve(_ context.Context, t *Trip) error {
	t.Seat = "12A"
	return say("seats: 12A is reserved") // a real one gives the service saga.Key(ctx), to be known when it calls again
}

func release(_ context.Context, t *Trip) error { return say("seats: %s is free again", t.Seat) }

func pay(_ context.Context, t *Trip) error {
	if t.Price > 100 {
		say("bank: declined")
		return patterns.Permanent(errors.New("not enough money"))
	}
	return say("bank: paid %d", t.Price)
}

func payBack(context.Context, *Trip) error { return say("bank: nothing to pay back") }

func send(ctx context.Context, t *Trip) error {
	if saga.FromContext(ctx).Number == 1 {
		say("tickets: out of order")
		return errors.New("the printer is jammed") // so it is tried again
	}
	return say("tickets: sent, for seat %s", t.Seat)
}

func say(format string, args ...any) error { _, err := fmt.Printf(format+"\n", args...); return err }

func main() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "saga")
	check(err)
	defer os.RemoveAll(dir)
	journal, err := saga.OpenJournal(filepath.Join(dir, "journal"), saga.JournalOptions{})
	check(err)
	defer journal.Close()
	runner := saga.NewRunner(trip, journal, saga.WithHook(func(context.Context, saga.Event) {}))
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()

	for _, price := range []int{80, 800} {
		id := fmt.Sprint("for ", price)
		check(runner.Start(ctx, id, Trip{Price: price}))
		record, _, err := runner.Wait(ctx, id)
		check(err)
		fmt.Println("trip", id, "is", record.State)
	}
	check(errors.Join(runner.Shutdown(ctx), <-done))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
