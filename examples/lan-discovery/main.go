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
	if err != nil {
		log.Fatal(err)
	}
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
	if _, err := node.Follow(service, producer); err != nil { // connects to all instances, now and later
		log.Fatal(err)
	}
	if err := producer.WaitPeers(ctx, 2); err != nil {
		log.Fatal(err)
	}
	// [/discovery]
	fmt.Println("order-desk: found two workers")
	for i := range 4 {
		if err := producer.Send(ctx, fmt.Sprintf("order %d", i+1)); err != nil {
			log.Fatal(err)
		}
		fmt.Println(<-done)
	}
}

// work announces a worker and has it say what it packed.
func work(ctx context.Context, registry discovery.Registry, service, name string, done chan<- string) {
	worker := pushpull.NewWorker[string]()
	defer worker.Close()
	addr, err := worker.Bind("tcp://*:0")
	if err != nil {
		log.Fatal(err)
	}
	node := discovery.NewNode(registry, name)
	defer node.Close() // says goodbye, so that those who follow disconnect
	if _, err := node.Announce(service, addr, nil); err != nil {
		log.Fatal(err)
	}
	pack := func(_ context.Context, order string) error {
		done <- name + ": packed " + order
		return nil
	}
	if err := worker.Run(ctx, pack); err != nil {
		log.Fatal(err)
	}
}
