// Embedding: a service has a socket in it, and with it Bind, Connect, Stats and all the rest.
//
//	go run ./examples/embedding
package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// [embedding]

// Billing is a service: a socket with something to say.
type Billing struct {
	*socket.Rep
	invoices int
}

// Serve answers requests until ctx ends or Billing is closed.
func (b *Billing) Serve(ctx context.Context) error {
	for msg, err := range b.Messages(ctx) {
		if err != nil {
			return err
		}
		b.invoices++
		if err := b.Send(ctx, fmt.Appendf(nil, "invoice %d for %s", b.invoices, msg)); err != nil {
			return err
		}
	}
	return nil
}

// [/embedding]

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events := func(e socket.Event) {
		if e.Kind == socket.Connected || e.Kind == socket.Disconnected {
			fmt.Println("billing: a customer", strings.Fields(e.String())[0])
		}
	}
	billing := &Billing{Rep: socket.NewRep(socket.WithEventHandler(events))}
	addr, err := billing.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- billing.Serve(ctx) }()

	customer := socket.NewReq()
	if err := customer.Connect(addr); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"anna", "ben"} {
		reply, err := customer.Request(ctx, []byte(name))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("customer: got", reply)
	}
	customer.Close()
	if err := billing.Shutdown(ctx); err != nil { // what was accepted is answered and written first
		log.Fatal(err)
	}
	fmt.Println("billing: served", billing.Stats().MessagesIn, "requests, error:", <-served)
}
