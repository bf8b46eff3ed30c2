// LAN discovery: workers announce themselves by multicast DNS, and a producer that knows no addresses finds them.
//
//	go run ./examples/lan-discovery             on all networks
//	go run ./examples/lan-discovery -iface lo   this machine only
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/mdns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

func main() {
	iface := flag.String("iface", "", "network interface to use; default all")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var opts []mdns.Option
	if *iface != "" {
		opts = append(opts, mdns.WithInterfaces(*iface))
	}
	registry, err := mdns.New(opts...)
	check(err)
	defer registry.Close()
	service := fmt.Sprintf("packing-%d", time.Now().UnixNano()%1e6) // of our own: others may run this example
	done := make(chan string)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for _, name := range []string{"anna", "ben"} {
		workers.Go(func() { work(ctx, registry, service, name, done) })
	}

	// [discovery]
	producer := pushpull.NewProducer[string]()
	defer producer.Close()
	node := discovery.NewNode(registry, "order-desk")
	defer node.Close()
	_, err = node.Follow(service, producer) // connects to all instances, now and later
	check(err)
	check(producer.WaitPeers(ctx, 2))
	// [/discovery]
	fmt.Println("order-desk: found two workers")
	for i := range 4 {
		check(producer.Send(ctx, fmt.Sprintf("order %d", i+1)))
		fmt.Println(<-done)
	}
}

// work announces a worker and has it say what it packed.
func work(ctx context.Context, registry discovery.Registry, service, name string, done chan<- string) {
	// [announce]
	worker := pushpull.NewWorker[string]()
	defer worker.Close()
	addr, err := worker.Bind("tcp://*:0")
	check(err)
	node := discovery.NewNode(registry, name) // registry, err := mdns.New()
	defer node.Close()                        // says goodbye, so that those who follow disconnect
	_, err = node.Announce(service, addr, nil)
	check(err) // ends the program if it is not nil
	// [/announce]
	check(worker.Run(ctx, func(_ context.Context, order string) error {
		done <- name + ": packed " + order
		return nil
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
