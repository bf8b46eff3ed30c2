// Retry storm: a thousand jobs fail at the same moment, since a database is away. If all came again together they would fell it once more. They come
// spread over the pause instead; the busiest tenth of it says how well.
//
//	go run ./examples/retry-storm
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

type Job struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const jobs, pause = 1000, 3 * time.Second
	producer := pushpull.NewProducer[Job](patterns.WithAtLeastOnce(),
		patterns.WithSocketOptions(socket.WithRetry(pause, time.Minute)))
	defer producer.Close()
	worker := pushpull.NewWorker[Job](patterns.WithAtLeastOnce(), patterns.WithPrefetch(jobs),
		patterns.WithOnError(func(context.Context, error) {})) // a thousand times the same
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	check(err)
	check(producer.Connect(addr))

	var mu sync.Mutex
	var tenths [10]int
	var began time.Time
	failed := map[int]bool{}
	errAway := errors.New("the database is away")
	go func() { // ended by Shutdown
		check(worker.Run(ctx, func(_ context.Context, j Job) error {
			mu.Lock()
			defer mu.Unlock()
			if !failed[j.Number] {
				failed[j.Number], began = true, time.Now()
				return errAway
			}
			tenths[min(int(time.Since(began)*10/pause), 9)]++
			return nil
		}))
	}()
	for i := range jobs {
		check(producer.Send(ctx, Job{i}))
	}
	check(producer.WaitAcked(ctx))
	mu.Lock()
	defer mu.Unlock()
	busiest := slices.Max(tenths[:])
	fmt.Println("retries in each tenth of the pause:", tenths)
	fmt.Printf("busiest tenth: %d of %d, all at once would be a storm\n", busiest, jobs)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
