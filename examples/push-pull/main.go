// Push-pull: an order desk hands out work, and each piece of it goes to one of two workers.
//
//	go run ./examples/push-pull
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	push := socket.NewPush()
	defer push.Close()
	addr, err := push.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("desk: open at", addr)

	var workers sync.WaitGroup
	for _, name := range []string{"anna", "ben"} {
		workers.Go(func() {
			if err := work(ctx, name, addr); err != nil {
				log.Fatal(err)
			}
		})
	}
	if err := push.WaitPeers(ctx, 2); err != nil { // or whoever comes first gets the first orders
		log.Fatal(err)
	}
	for i := range 6 {
		if err := push.Send(ctx, fmt.Appendf(nil, "order %d", i+1)); err != nil {
			log.Fatal(err)
		}
	}
	for range 2 { // in turn, hence one for each
		if err := push.Send(ctx, []byte("go home")); err != nil {
			log.Fatal(err)
		}
	}
	workers.Wait()
	fmt.Println("desk: closed")
}

// work packs orders until it is told to go home.
func work(ctx context.Context, name, addr string) error {
	pull := socket.NewPull()
	defer pull.Close()
	if err := pull.Connect(addr); err != nil {
		return err
	}
	for msg, err := range pull.Messages(ctx) {
		if err != nil {
			return err
		}
		if msg.String() == "go home" {
			return nil
		}
		fmt.Printf("%s: packed %s\n", name, msg)
	}
	return ctx.Err()
}
