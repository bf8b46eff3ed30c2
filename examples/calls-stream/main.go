// A streaming reply: the service yields, the caller loops. The service is never further ahead than the caller allows, and hears when the
// loop is left.
//
//	go run ./examples/calls-stream
package main

import (
	"context"
	"fmt"
	"iter"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns/reqrep"
)

type Line struct {
	Number int
	Text   string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	service := reqrep.NewService()
	defer service.Close()
	read, stopped := 0, make(chan int, 1)
	check(reqrep.HandleStream(service, "log.follow", func(ctx context.Context, file string) iter.Seq2[Line, error] {
		return func(yield func(Line, error) bool) {
			defer func() { stopped <- read }()
			for read = 1; yield(Line{read, "of " + file}, nil); read++ { // it would go on for ever
			}
		}
	}))
	addr, err := service.Bind("tcp://127.0.0.1:0")
	check(err)
	go service.Run(ctx) // ends by Close

	client := reqrep.NewClient()
	defer client.Close()
	check(client.Connect(addr))
	taken := 0
	for line, err := range reqrep.Stream[string, Line](ctx, client, "log.follow", "app.log", reqrep.WithStreamWindow(10, 1<<20)) {
		check(err)
		if taken++; taken <= 3 {
			fmt.Println(line.Number, line.Text)
		}
		if taken == 100 {
			break
		}
	}
	if ahead := <-stopped - taken; ahead > 11 { // ten, and the one that was not sent any more
		log.Fatalf("the service was %d lines ahead", ahead)
	}
	fmt.Println("took", taken, "lines of an endless log; the service was at most ten ahead, and has stopped")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
