// Scatter and gather: all instances are asked at once, and their answers collected until there are enough, or the time is up.
//
//	go run ./examples/calls-gather
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	quiet := patterns.WithOnError(func(context.Context, error) {}) // Lima's timeout is no news here
	client := reqrep.NewClient()
	defer client.Close()
	for city, stock := range map[string]int{"Bern": 7, "Rome": 3, "Oslo": 5, "Lima": -1} {
		shop := reqrep.NewService(patterns.WithSource(city), reqrep.WithVersion("1.4"), quiet)
		defer shop.Close()
		check(reqrep.Handle(shop, "stock.of", func(ctx context.Context, item string) (string, error) {
			if stock < 0 { // nobody is at the desk
				<-ctx.Done()
				return "", ctx.Err()
			}
			return fmt.Sprintf("%s has %d", city, stock), nil
		}))
		addr, err := shop.Bind("tcp://127.0.0.1:0")
		check(err)
		go shop.Run(ctx) // ends by Close
		check(client.Connect(addr))
	}
	check(client.WaitPeers(ctx, 4))

	// Enough is enough: Lima is cancelled when three have answered.
	replies, err := reqrep.Gather[string, string](ctx, client, 3, "stock.of", "tea")
	check(err)
	var answers []string
	for _, reply := range replies {
		answers = append(answers, reply.Value)
	}
	slices.Sort(answers)
	fmt.Println(strings.Join(answers, ", "))

	// All that come within the time, and who did not.
	brief, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	late := 0
	for reply := range reqrep.Scatter[string, string](brief, client, "stock.of", "tea") {
		if errors.Is(reply.Err, socket.ErrTimeout) {
			late++
		}
	}
	fmt.Println(late, "of 4 did not answer in time")

	// Every service says what it is.
	var names []string
	for reply := range reqrep.Scatter[struct{}, reqrep.Info](ctx, client, reqrep.InfoMethod, struct{}{}) {
		check(reply.Err)
		names = append(names, reply.Value.Name+" "+reply.Value.Version)
	}
	slices.Sort(names)
	fmt.Println(strings.Join(names, ", "))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
