// Back-pressure: a producer is faster than its worker. What is not done yet is bounded, by the worker's prefetch, and the producer waits: nobody runs out of
// memory, and nothing is lost. With a deadline it learns that it would have to wait.
//
//	go run ./examples/back-pressure
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

type Job struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const prefetch, jobs = 20, 500
	producer := pushpull.NewProducer[Job](patterns.WithAtLeastOnce())
	defer producer.Close()
	worker := pushpull.NewWorker[Job](patterns.WithAtLeastOnce(), patterns.WithPrefetch(prefetch))
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	check(err)
	check(producer.Connect(addr))
	check(producer.WaitPeers(ctx, 1))

	sent := 0
	for { // nobody works yet
		try, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		err := producer.Send(try, Job{sent})
		stop()
		if errors.Is(err, socket.ErrFull) {
			break
		}
		check(err)
		sent++
	}
	fmt.Println("accepted before anything was done:", sent)

	most, done := 0, 0
	go func() { // ended by Shutdown
		check(worker.Run(ctx, func(context.Context, Job) error {
			most = max(most, producer.Stats().Acks.UnackedOut)
			done++
			return nil
		}))
	}()
	for ; sent < jobs; sent++ {
		check(producer.Send(ctx, Job{sent})) // waits where it must
	}
	check(producer.WaitAcked(ctx))
	check(worker.Shutdown(ctx))
	fmt.Println("done:", done)
	fmt.Println("never more than the prefetch on the way:", most <= prefetch)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
