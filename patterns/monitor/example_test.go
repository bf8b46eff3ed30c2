package monitor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns/monitor"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// A process shows a socket of its own to whoever asks.
func ExampleNew() {
	pull := socket.NewPull()
	defer pull.Close()
	if _, err := pull.Bind("tcp://127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	m := monitor.New("order-desk")
	defer m.Close()
	if err := m.Watch("orders", pull); err != nil {
		log.Fatal(err)
	}
	addr, err := m.Bind("tcp://127.0.0.1:0") // node.Announce(monitor.Service, addr, nil) has meshmq top find it
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()

	client := reqrep.NewClient()
	defer client.Close()
	if err := client.Connect(addr); err != nil {
		log.Fatal(err)
	}
	s, err := monitor.Get(ctx, client)
	if err != nil {
		log.Fatal(err)
	}
	for _, socket := range s.Sockets {
		fmt.Println(s.Process.Name, socket.Name, socket.Type, socket.Connected, "peers")
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// order-desk orders PULL 0 peers
	// <nil>
}
