// Idempotent handler: a caller sends each payment twice, since it does not know whether the first try arrived. A window on the worker's disk knows by the
// message's id what was handled, also after a restart: each is made once.
//
//	go run ./examples/idempotent-handler
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
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

	paid, duplicates := 0, uint64(0)
	ids := make([]codec.ID, 20)
	for i := range ids {
		ids[i] = codec.NewID() // of the payment, whoever sends it
	}
	for range 2 { // the second time with a worker that was started anew
		worker := pushpull.NewWorker[Payment](patterns.WithWindow(dir, spool.WindowOptions{}))
		check(worker.Connect(addr))
		go func() { // ended by Shutdown
			check(worker.Run(ctx, func(_ context.Context, p Payment) error {
				paid += p.Cents
				return nil
			}))
		}()
		for _, id := range ids {
			check(producer.Send(ctx, Payment{Cents: 100}, patterns.WithID(id)))
		}
		check(producer.WaitAcked(ctx))
		check(worker.Shutdown(ctx))
		duplicates += worker.Stats().Acks.DuplicatesIn
	}
	fmt.Println("paid:", paid)
	fmt.Println("duplicates dropped:", duplicates)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
