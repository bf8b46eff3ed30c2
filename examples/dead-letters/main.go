// Dead letters: a worker has a mistake and refuses some jobs for good. They are kept in the spool with the reason; when the worker is mended
// they are sent again, no faster than it can bear.
//
//	go run ./examples/dead-letters
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket/spool"
)

type Payment struct {
	Account string
	Cents   int
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "payments")
	check(err)
	defer os.RemoveAll(dir)
	producer := pushpull.NewProducer[Payment](patterns.WithSpool(dir, spool.Options{}))
	defer producer.Close()
	addr, err := producer.Bind("tcp://127.0.0.1:0")
	check(err)

	broken := start(ctx, addr, func(_ context.Context, p Payment) error {
		if p.Account == "Zoë" { // it knows no letters but those of ASCII
			return patterns.Permanent(fmt.Errorf("no account %q", p.Account))
		}
		fmt.Println("paid", p.Cents, "to", p.Account)
		return nil
	})
	for _, account := range []string{"Anna", "Zoë", "Ben"} {
		check(producer.Send(ctx, Payment{account, 500}))
	}
	check(producer.WaitAcked(ctx))
	for d, err := range producer.DeadLetters() {
		check(err)
		fmt.Printf("dead after attempt %d: %s\n", d.Attempts, d.Reason)
	}

	check(broken.Shutdown(ctx))
	mended := start(ctx, addr, func(_ context.Context, p Payment) error {
		fmt.Println("paid", p.Cents, "to", p.Account)
		return nil
	})
	n, err := producer.Replay(ctx, 100, nil) // at most a hundred a second
	check(err)
	fmt.Println("replayed:", n)
	check(producer.WaitAcked(ctx))
	check(mended.Shutdown(ctx))
}

// start runs a worker until it is shut down.
func start(ctx context.Context, addr string, handler func(context.Context, Payment) error) *pushpull.Worker[Payment] {
	quiet := patterns.WithOnError(func(context.Context, error) {}) // the letters say it
	worker := pushpull.NewWorker[Payment](patterns.WithAtLeastOnce(), quiet)
	check(worker.Connect(addr))
	go func() { check(worker.Run(ctx, handler)) }()
	return worker
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
