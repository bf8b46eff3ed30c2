// Competing consumers: three workers share the work of one producer. One of them ends in the middle of it, and what it had not finished goes to the
// others: each job is done.
//
//	go run ./examples/competing-consumers
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

type Job struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	producer := pushpull.NewProducer[Job](patterns.WithAtLeastOnce())
	defer producer.Close()
	addr, err := producer.Bind("tcp://127.0.0.1:0")
	check(err)

	const jobs = 300
	var mu sync.Mutex
	done, by := map[int]bool{}, map[string]int{}
	half := make(chan struct{})
	var begun sync.WaitGroup // each has begun its first job before any ends it
	begun.Add(3)
	work := func(name string) *pushpull.Worker[Job] {
		worker := pushpull.NewWorker[Job](patterns.WithAtLeastOnce(), patterns.WithPrefetch(10))
		check(worker.Connect(addr))
		var first sync.Once
		go func() { // ended by Close
			check(worker.Run(ctx, func(ctx context.Context, j Job) error {
				first.Do(begun.Done)
				begun.Wait()
				mu.Lock()
				defer mu.Unlock()
				by[name]++
				if !done[j.Number] && len(done) == jobs/2 {
					close(half)
				}
				done[j.Number] = true
				return nil
			}))
		}()
		return worker
	}
	anna, ben, carl := work("anna"), work("ben"), work("carl")
	defer anna.Close()
	defer ben.Close()
	check(producer.WaitPeers(ctx, 3))
	go func() { // ends when half is done
		<-half
		check(carl.Close()) // as if the process had ended
	}()
	for i := range jobs {
		check(producer.Send(ctx, Job{i}))
	}
	check(producer.WaitAcked(ctx))
	mu.Lock()
	defer mu.Unlock()
	fmt.Println("jobs done:", len(done), "of", jobs)
	fmt.Println("all three worked:", by["anna"] > 0 && by["ben"] > 0 && by["carl"] > 0)
	if len(done) != jobs {
		log.Fatal("some are missing")
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
