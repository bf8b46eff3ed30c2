// Idempotent handler: payments come again, since the connection breaks when the worker has made one and not said so yet, and since the caller sends each twice: it does not know
// whether the first try arrived. A window on the worker's disk knows by the message's id what was handled, also after a restart: each is made once.
//
//	go run ./examples/idempotent-handler
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

type Payment struct{ Cents int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "window")
	check(err)
	defer os.RemoveAll(dir)
	producer := pushpull.NewProducer[Payment](patterns.WithAtLeastOnce())
	defer producer.Close()
	addr, err := producer.Bind("tcp://127.0.0.1:0")
	check(err)

	conns := make(chan net.Conn, 100) // as they are made
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			conns <- conn
		}
		return conn, err
	}
	paid, duplicates := 0, []uint64{}
	ids := make([]codec.ID, 20)
	for i := range ids {
		ids[i] = codec.NewID() // of the payment, whoever sends it
	}
	for range 2 { // the second time with a worker that was started anew
		worker := pushpull.NewWorker[Payment](patterns.WithWindow(dir, spool.WindowOptions{}), patterns.WithSocketOptions(socket.WithDialer(dial)))
		check(worker.Connect(addr))
		go func() { // ended by Shutdown
			check(worker.Run(ctx, func(_ context.Context, p Payment) error {
				paid += p.Cents
				if paid == 1000 { // it is made; that cannot be said any more
					_ = (<-conns).Close()
				}
				return nil
			}))
		}()
		for _, id := range ids {
			check(producer.Send(ctx, Payment{Cents: 100}, patterns.WithID(id)))
		}
		check(producer.WaitAcked(ctx))
		check(worker.Shutdown(ctx))
		duplicates = append(duplicates, worker.Stats().Acks.DuplicatesIn)
	}
	fmt.Println("paid:", paid)
	fmt.Println("delivered again and dropped:", duplicates[0] > 0)
	fmt.Println("sent again and dropped:", duplicates[1])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
