// Calls to three instances of which one fails: retries hide it, hedges hide the slow one, and a breaker with a budget keeps retries from
// becoming a storm. The numbers say what each is worth.
//
//	go run ./examples/calls-resilient
package main

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

const calls = 300

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var addrs []string
	var asked [3]atomic.Int64
	var slow, down atomic.Bool
	for i := range 3 {
		s := reqrep.NewService(patterns.WithOnError(func(context.Context, error) {}))
		defer s.Close()
		check(reqrep.Handle(s, "price.of", func(ctx context.Context, item string) (int, error) {
			asked[i].Add(1)
			if i == 0 && slow.Load() {
				<-ctx.Done() // it is cancelled when another has answered
				return 0, ctx.Err()
			}
			if i == 0 && !slow.Load() || down.Load() {
				return 0, reqrep.Errorf(reqrep.CodeInternal, "no connection to the database").Retry(0)
			}
			return 350, nil
		}))
		addr, err := s.Bind("tcp://127.0.0.1:0")
		check(err)
		addrs = append(addrs, addr)
		go s.Run(ctx) // ends by Close
	}
	price := func(what string, opts ...patterns.Option) {
		client := reqrep.NewClient(opts...)
		defer client.Close()
		for _, addr := range addrs {
			check(client.Connect(addr))
		}
		check(client.WaitPeers(ctx, len(addrs)))
		before, all, failed := asked[0].Load(), asked[0].Load()+asked[1].Load()+asked[2].Load(), 0
		for range calls {
			if _, err := reqrep.Call[string, int](ctx, client, "price.of", "tea"); err != nil {
				failed++
			}
		}
		all = asked[0].Load() + asked[1].Load() + asked[2].Load() - all
		fmt.Printf("%s: %d calls, %d failed, %d requests, %d of them to the first\n", what, calls, failed, all, asked[0].Load()-before)
	}
	again := reqrep.WithCalls(reqrep.Idempotent(), reqrep.WithRetries(3), reqrep.WithBackoff(time.Microsecond, 10*time.Microsecond))
	breaker := reqrep.WithBreaker(reqrep.Breaker{Failures: 5, Pause: time.Minute})
	unlimited := reqrep.WithRetryBudget(1, calls*3)

	price("one fails, plain")
	price("one fails, retries", again, unlimited)
	price("one fails, retries and breaker", again, breaker)
	slow.Store(true)
	price("one hangs, hedged", unlimited, breaker, reqrep.WithCalls(reqrep.Idempotent(), reqrep.WithHedge(5*time.Millisecond, 1)))
	slow.Store(false)
	down.Store(true)
	price("all fail, retries", again, unlimited)
	price("all fail, retries within a budget", again)
	price("all fail, retries and breaker", again, breaker)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
