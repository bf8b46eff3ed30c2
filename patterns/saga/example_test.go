package saga_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
)

type Trip struct{ Seat string }

var trip = saga.Define("trip", 1,
	saga.Step[Trip]{
		Name: "seat",
		Do:   func(ctx context.Context, t *Trip) error { t.Seat = "12A"; return nil },
		Undo: func(ctx context.Context, t *Trip) error { fmt.Println("free", t.Seat); return nil },
	},
	saga.Step[Trip]{
		Name: "payment",
		Do:   func(ctx context.Context, t *Trip) error { return patterns.Permanent(errors.New("declined")) },
	},
)

// The second step is refused, so the first one is undone.
func ExampleNewRunner() {
	ctx := context.Background()
	runner := saga.NewRunner(trip, saga.NewMemory(time.Hour), saga.WithHook(func(context.Context, saga.Event) {}))
	go runner.Run(ctx)
	if err := runner.Start(ctx, "order 1", Trip{}); err != nil {
		log.Fatal(err)
	}
	record, _, err := runner.Wait(ctx, "order 1")
	fmt.Println(record.State, record.Reason, err)
	fmt.Println(runner.Shutdown(ctx))
	// Output:
	// free 12A
	// compensated declined <nil>
	// <nil>
}

// The key is the same each time that a step is tried: services know by it what they have done already.
func ExampleDefine() {
	shipping := saga.Define("shipping", 3,
		saga.Step[Trip]{Name: "label", Do: func(ctx context.Context, t *Trip) error {
			fmt.Println(saga.Key(ctx))
			return nil
		}},
		saga.Step[Trip]{Name: "hand over", Pivot: true, Do: func(ctx context.Context, t *Trip) error { return nil }}, // from here on it only goes forward
		saga.Step[Trip]{Name: "tell", Do: func(ctx context.Context, t *Trip) error { return nil }, Timeout: 10 * time.Second, Attempts: 100},
	)
	ctx := context.Background()
	runner := saga.NewRunner(shipping, saga.NewMemory(0))
	go runner.Run(ctx)
	if err := runner.Start(ctx, "7", Trip{}); err != nil {
		log.Fatal(err)
	}
	record, _, _ := runner.Wait(ctx, "7")
	fmt.Println(record.State, runner.Shutdown(ctx))
	// Output:
	// shipping/7/label
	// completed <nil>
}

// Sagas in PostgreSQL, for any number of runners.
func ExampleNewSQL() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres:///shop") // a program imports the driver it likes
	if err != nil {
		log.Fatal(err)
	}
	store := saga.NewSQL(saga.PostgreSQL, db, "sagas", 24*time.Hour)
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	if err := saga.NewRunner(trip, store).Run(ctx); err != nil { // until ctx ends, or Shutdown
		log.Fatal(err)
	}
}

// Sagas on the disk of one process.
func ExampleOpenJournal() {
	journal, err := saga.OpenJournal("/var/lib/shop/sagas", saga.JournalOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close()
	if err := saga.NewRunner(trip, journal).Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// Memory is for tests.
func ExampleNewMemory() {
	store := saga.NewMemory(time.Hour)
	_, err := store.Get(context.Background(), "nothing")
	fmt.Println(errors.Is(err, saga.ErrNotFound))
	// Output: true
}
