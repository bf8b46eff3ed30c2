package socket_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/socket"
)

// A queue between clients and workers: neither side needs to know where the other is.
func ExampleNewProxy() {
	clients, workers := socket.NewRouter(), socket.NewDealer()
	defer clients.Close()
	defer workers.Close()
	front, _ := clients.Bind("tcp://127.0.0.1:0")
	back, _ := workers.Bind("tcp://127.0.0.1:0")

	proxy := socket.NewProxy(clients, workers)
	ended := make(chan error)
	go func() { ended <- proxy.Run(context.Background()) }()

	worker, client := socket.NewRep(), socket.NewReq()
	defer worker.Close()
	defer client.Close()
	worker.Connect(back)
	client.Connect(front)
	go func() {
		for m := range worker.Messages(context.Background()) { // ends when worker is closed
			worker.Send(context.Background(), append([]byte("done: "), m.Bytes()...))
		}
	}()
	reply, err := client.Request(context.Background(), []byte("job"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply)

	proxy.Terminate()
	fmt.Println(<-ended, proxy.Stats().Frontend.MessagesIn)
	// Output:
	// done: job
	// <nil> 1
}
