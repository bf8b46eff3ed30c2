// Poison message: one job among a thousand makes its handler panic, each time. It is tried as often as is allowed and put aside, with the reason;
// the process lives, and the others are done.
//
//	go run ./examples/poison-message
package main

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

type Image struct {
	Number int
	Pixels []byte
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dead := make(chan patterns.DeadLetter, 1)
	producer := pushpull.NewProducer[Image](
		patterns.WithAtLeastOnce(),
		patterns.WithDeadLetters(func(d patterns.DeadLetter) { dead <- d }),
		patterns.WithSocketOptions(socket.WithAttempts(3), socket.WithRetry(time.Millisecond, 10*time.Millisecond)),
	)
	defer producer.Close()
	worker := pushpull.NewWorker[Image](patterns.WithAtLeastOnce(), patterns.WithConcurrency(4),
		patterns.WithOnError(func(context.Context, error) {})) // the dead letter says it
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	check(err)
	check(producer.Connect(addr))

	var shrunk, tried atomic.Int64
	go func() { // ended by Shutdown
		check(worker.Run(ctx, func(_ context.Context, i Image) error {
			if i.Number == 500 {
				tried.Add(1)
			}
			_ = i.Pixels[0] // nobody thought of an empty image
			shrunk.Add(1)
			return nil
		}))
	}()
	for i := range 1000 {
		image := Image{Number: i, Pixels: make([]byte, 10)}
		if i == 500 {
			image.Pixels = nil
		}
		check(producer.Send(ctx, image, patterns.WithHeader("name", fmt.Sprintf("%d.png", i))))
	}
	check(producer.WaitAcked(ctx))
	d := <-dead
	fmt.Println("shrunk:", shrunk.Load())
	fmt.Println("put aside:", d.Envelope.Header("name"), "after", tried.Load(), "attempts")
	fmt.Println("because:", d.Reason)
	check(worker.Shutdown(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
