// Monitor: an order desk lets itself be looked at, while nobody packs and then when somebody does. meshmq top shows the same to people; here a program asks.
//
//	go run ./examples/monitor
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/monitor"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket/spool"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "orders")
	check(err)
	defer os.RemoveAll(dir)
	quiet := patterns.WithOnError(func(context.Context, error) {}) // the monitor tells
	producer := pushpull.NewProducer[string](patterns.WithSpool(dir, spool.Options{}))
	defer producer.Close()
	worker := pushpull.NewWorker[string](patterns.WithAtLeastOnce(), quiet)
	defer worker.Close()
	// [monitor]
	m := monitor.New("order-desk") // patterns.WithSocketOptions says who may ask, with CURVE or TLS
	defer m.Close()
	check(m.Watch("orders", producer)) // any socket, and what embeds one
	check(m.Watch("packing", worker))
	at, err := m.Bind("tcp://127.0.0.1:0")
	check(err)
	go m.Run(ctx) // node.Announce(monitor.Service, at, nil) has meshmq top find it
	// [/monitor]
	client := reqrep.NewClient()
	defer client.Close()
	check(client.Connect(at))
	addr, err := producer.Bind("tcp://127.0.0.1:0")
	check(err)
	for _, item := range []string{"tea", "coffee", "cocoa"} {
		check(producer.Send(ctx, item))
	}
	s := look(ctx, client, func(s monitor.Snapshot) bool { return s.Sockets[0].Spool.Pending == 3 })
	fmt.Println("stuck:", s.Sockets[0].Spool.Pending, "peers:", s.Sockets[0].Connected)
	check(worker.Connect(addr))
	go worker.Run(ctx, func(_ context.Context, item string) error {
		if item == "cocoa" {
			return patterns.Permanent(errors.New("we have no cocoa"))
		}
		return nil
	})
	s = look(ctx, client, func(s monitor.Snapshot) bool {
		return s.Sockets[0].Spool.Pending == 0 && s.Sockets[1].Receiver.Failed == 1 && len(s.Trouble) > 0
	})
	fmt.Println(s.Process.Name, "has packed:", s.Sockets[1].Receiver.Handled, "failed:", s.Sockets[1].Receiver.Failed)
	fmt.Println("stuck:", s.Sockets[0].Spool.Pending, "given up:", s.Sockets[0].DeadLettered)
	for _, t := range s.Trouble {
		fmt.Println("trouble:", t.Socket, t.Text)
	}
}

// look asks until it sees what it wants: a Snapshot may be a tenth of a second old.
func look(ctx context.Context, client *reqrep.Client, wanted func(monitor.Snapshot) bool) monitor.Snapshot {
	for {
		s, err := monitor.Get(ctx, client)
		check(err)
		if wanted(s) {
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
