// Read model: what happened is kept as events; what is the case is made of them, and can be made anew. The accounts' service keeps the log and
// decides by its own balances (event sourcing); a report elsewhere has a model of its own, for its own questions (CQRS).
//
//	go run ./examples/read-model
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

type Booked struct {
	Account string
	Amount  int
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "accounts")
	check(err)
	defer os.RemoveAll(dir)
	events, err := spool.Open(dir, spool.Options{Kind: spool.Topic})
	check(err)
	accounts := pubsub.NewPublisher(pubsub.WithLogOn(socket.SpoolOf(events)))
	defer accounts.Close()
	addr, err := accounts.Bind("tcp://127.0.0.1:0")
	check(err)
	for _, b := range []Booked{{"anna", 50}, {"ben", 20}, {"anna", -10}, {"ben", 5}, {"anna", 2}} {
		check(accounts.Publish(ctx, "accounts."+b.Account+".booked", b, patterns.WithKey(b.Account)))
	}

	// The service has lost its balances, and makes them anew from its log.
	balances := map[string]int{}
	next, err := pubsub.Replay(ctx, events, spool.Beginning(), "accounts.*.booked", func(_ context.Context, _ string, b Booked) error {
		balances[b.Account] += b.Amount
		return nil
	})
	check(err)
	fmt.Println("balances:", balances, "- next event:", next)

	// A report elsewhere asks how often accounts are used. For a new version of it, give its subscription a new name: it begins at the beginning, and goes on with what comes.
	uses, done := map[string]int{}, make(chan struct{})
	report := pubsub.NewSubscriber(pubsub.WithDurable("report-v2", spool.Beginning()))
	_, err = pubsub.Subscribe(report, "accounts.*.booked", func(_ context.Context, _ string, b Booked) error {
		if uses[b.Account]++; uses["anna"]+uses["ben"] == 6 {
			close(done)
		}
		return nil
	})
	check(err)
	check(report.Connect(addr))
	ended := make(chan error)
	go func() { ended <- report.Run(ctx) }()
	check(accounts.Publish(ctx, "accounts.ben.booked", Booked{"ben", 1}))
	<-done
	check(report.Shutdown(ctx))
	check(<-ended)
	fmt.Println("uses:", uses)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
