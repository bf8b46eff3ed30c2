// Client-server: CLIENT and SERVER are DEALER and ROUTER without envelopes. A client sends as many requests as it likes; the server
// answers each when it is done, in any order, more than once if there is more to say, and from any goroutine.
//
//	go run ./examples/client-server
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
	server := socket.NewServer()
	addr, err := server.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan int)
	go func() { served <- serve(ctx, server) }()

	var clients sync.WaitGroup
	for _, name := range []string{"anna", "ben"} {
		clients.Go(func() {
			if err := ask(ctx, addr, name); err != nil {
				log.Fatal(err)
			}
		})
	}
	clients.Wait()
	if err := server.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("server: done with", <-served, "requests")
}

// serve works on all requests at the same time, until the server is closed. It returns how many there were.
func serve(ctx context.Context, server *socket.Server) (requests int) {
	// [server]
	var working sync.WaitGroup
	for msg := range server.Messages(ctx) {
		requests++
		working.Go(func() {
			client := msg.RoutingID() // good until the client is gone
			server.Send(ctx, client, fmt.Appendf(nil, "%s is under way", msg))
			server.Send(ctx, client, fmt.Appendf(nil, "%s is done", msg)) // an error means that nobody is there to hear it
		})
	}
	working.Wait()
	// [/server]
	return requests
}

// ask sends three requests at once and waits for two answers to each.
func ask(ctx context.Context, addr, name string) error {
	client := socket.NewClient()
	defer client.Close()
	if err := client.Connect(addr); err != nil {
		return err
	}
	for i := range 3 {
		if err := client.Send(ctx, fmt.Appendf(nil, "job %d", i+1)); err != nil {
			return err
		}
	}
	for range 6 {
		msg, err := client.Recv(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", name, msg)
	}
	return nil
}
