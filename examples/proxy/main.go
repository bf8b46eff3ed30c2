// Proxy: a queue between clients and workers, so that either side knows one address only, and workers come and go. A third socket sees copies.
//
//	go run ./examples/proxy
//
// The same from a shell: meshmq proxy --type queue --frontend ENDPOINT --backend ENDPOINT --capture ENDPOINT
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/socket"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// [proxy]
	clients, workers := socket.NewRouter(), socket.NewDealer() // bind them, or connect them, as you like
	copies := socket.NewPush()                                 // of all that passes, either way
	proxy := socket.NewProxy(clients, workers, socket.WithCapture(copies))
	ended := make(chan error, 1)
	go func() { ended <- proxy.Run(ctx) }() // until Terminate; Pause and Resume in between
	// [/proxy]
	defer clients.Close()
	defer workers.Close()
	defer copies.Close()
	front, back := bind(clients), bind(workers)

	archive := socket.NewPull()
	defer archive.Close()
	check(archive.Connect(bind(copies)))
	for _, name := range []string{"anna", "ben"} {
		worker := socket.NewRep()
		defer worker.Close()
		check(worker.Connect(back))
		go func() { // ends when worker is closed
			for job := range worker.Messages(ctx) {
				check(worker.Send(ctx, fmt.Appendf(nil, "%s did %s", name, job)))
			}
		}()
	}
	check(workers.WaitPeers(ctx, 2)) // or whoever comes first gets the first jobs
	check(copies.WaitPeers(ctx, 1))

	client := socket.NewReq()
	defer client.Close()
	check(client.Connect(front))
	for i := range 4 {
		reply, err := client.Request(ctx, fmt.Appendf(nil, "job %d", i+1))
		check(err)
		fmt.Println("client:", reply)
	}

	proxy.Terminate()
	check(<-ended)
	stats := proxy.Stats()
	fmt.Printf("proxy: %d requests, %d replies, %d lost\n", stats.Frontend.MessagesIn, stats.Frontend.MessagesOut, stats.Unroutable+stats.Refused)
	for range stats.Frontend.MessagesIn + stats.Frontend.MessagesOut {
		msg, err := archive.Recv(ctx)
		check(err)
		fmt.Println("copy:", msg)
	}
}

// bind binds a socket to a free port.
func bind(s interface{ Bind(string) (string, error) }) string {
	addr, err := s.Bind("tcp://127.0.0.1:0")
	check(err)
	return addr
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
