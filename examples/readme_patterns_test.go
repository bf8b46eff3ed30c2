package examples_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/patterns/saga"
	"github.com/meshmq/meshmq/socket/spool"
)

// folder returns a new folder for an example, and what removes it.
func folder() (dir string, remove func()) {
	home, err := os.MkdirTemp("", "meshmq-example-")
	check(err)
	return filepath.Join(home, "spool"), func() { check(os.RemoveAll(home)) }
}

func Example_acknowledgedWork() {
	ctx := context.Background()
	dir, remove := folder()
	defer remove()
	const addr = "inproc://readme-acknowledged"
	pack := func(_ context.Context, o Order) error {
		if o.Count < 1 {
			return patterns.Permanent(errors.New("nothing to pack"))
		}
		fmt.Println("packed", o.Count, o.Item)
		return nil
	}
	// [acknowledged-work]
	producer := pushpull.NewProducer[Order](patterns.WithSpool(dir, spool.Options{})) // on disk until it is done
	defer producer.Close()
	worker := pushpull.NewWorker[Order](patterns.WithAtLeastOnce(), patterns.WithConcurrency(8))
	_, err := worker.Bind(addr)
	check(err)
	go worker.Run(ctx, pack) // an error: again, later; patterns.Permanent(err), or too often: a dead letter
	check(producer.Connect(addr))
	check(producer.Send(ctx, Order{Item: "tea", Count: 0}, patterns.WithKey("anna"), patterns.WithTTL(time.Hour)))
	check(producer.WaitAcked(ctx))
	for letter, err := range producer.DeadLetters() { // producer.Replay sends them again, so many a second
		check(err)
		fmt.Println(letter.Reason)
	}
	// [/acknowledged-work]
	check(worker.Shutdown(ctx))
	// Output: nothing to pack
}

func Example_durableEvents() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, remove := folder()
	defer remove()
	billed := make(chan Order)
	bill := func(_ context.Context, _ string, o Order) error {
		billed <- o
		return nil
	}
	// [durable-events]
	publisher := pubsub.NewPublisher(pubsub.WithLog(dir, spool.Options{Retention: spool.Retention{Age: 7 * 24 * time.Hour}}))
	defer publisher.Close()
	addr, err := publisher.Bind("tcp://127.0.0.1:0")
	check(err)
	check(publisher.Publish(ctx, "orders.eu.created", Order{Item: "tea", Count: 2})) // nobody is there yet

	billing := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.Beginning())) // all who say billing share the events
	defer billing.Close()
	_, err = pubsub.Subscribe(billing, "orders.*.created", bill) // nil acknowledges, as in a worker
	check(err)
	check(billing.Connect(addr))
	go billing.Run(ctx)
	// [/durable-events]
	fmt.Println(<-billed)
	// Output: {tea 2}
}

func Example_resilientCalls() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- serve(ctx, "inproc://readme-resilient") }()
	addrs := []string{"inproc://readme-resilient"}
	// [resilient-calls]
	client := reqrep.NewClient(
		reqrep.WithBreaker(reqrep.Breaker{Failures: 5, Pause: 10 * time.Second}), // one for each instance
		reqrep.WithCalls(reqrep.WithRetries(3), reqrep.WithHedge(50*time.Millisecond, 1)),
	)
	defer client.Close()
	for _, addr := range addrs { // or node.Follow("orders", client); the one with the fewest calls in hand is asked
		check(client.Connect(addr))
	}
	receipt, err := reqrep.Call[Order, Receipt](ctx, client, "orders.create", Order{Item: "tea", Count: 2}, reqrep.Idempotent())
	// [/resilient-calls]
	fmt.Println(receipt, err)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// {1} <nil>
	// <nil>
}

type Trip struct{ Price int }

func says(what string) func(context.Context, *Trip) error {
	return func(context.Context, *Trip) error {
		fmt.Println(what)
		return nil
	}
}

func Example_saga() {
	ctx := context.Background()
	dir, remove := folder()
	defer remove()
	reserve, release, payBack, send := says("reserved"), says("released"), says("nothing to pay back"), says("sent")
	pay := func(context.Context, *Trip) error { return patterns.Permanent(errors.New("not enough money")) }
	// [saga]
	journal, err := saga.OpenJournal(dir, saga.JournalOptions{}) // or saga.NewSQL, for any number of processes
	check(err)
	defer journal.Close()
	trip := saga.Define("trip", 1,
		saga.Step[Trip]{Name: "seat", Do: reserve, Undo: release},
		saga.Step[Trip]{Name: "payment", Do: pay, Undo: payBack},
		saga.Step[Trip]{Name: "ticket", Do: send},
	)
	runner := saga.NewRunner(trip, journal)
	go runner.Run(ctx) // goes on with what a crash has left
	check(runner.Start(ctx, "order 7", Trip{Price: 800}))
	record, _, err := runner.Wait(ctx, "order 7")
	check(err)
	fmt.Println(record.State, record.Reason)
	// [/saga]
	check(runner.Shutdown(ctx))
	// Output:
	// reserved
	// nothing to pay back
	// released
	// compensated not enough money
}
