// Outbox-crash: a shop takes orders, and dies right after it has committed one. The message about it was committed with it, so the shop that starts next publishes it;
// the order that was rolled back is never told of.
//
//	go run -C patterns/dbtest ./outbox-crash      (that module has the driver for SQLite)
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/outbox"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// Order is what the messages are about.
type Order struct{ Number int }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if len(os.Args) > 1 {
		shop(ctx, os.Args[1], os.Args[2], os.Args[3])
		return
	}
	dir, err := os.MkdirTemp("", "outbox")
	check(err)
	defer os.RemoveAll(dir)
	worker := pushpull.NewWorker[Order](patterns.WithSocketOptions(socket.WithAck()))
	addr, err := worker.Bind("tcp://127.0.0.1:0")
	check(err)
	done := make(chan error, 1)
	go func() {
		done <- worker.Run(ctx, func(_ context.Context, o Order) error { fmt.Println("worker: packs order", o.Number); return nil })
	}()
	path := filepath.Join(dir, "shop.db")
	for _, life := range []string{"dies", "lives"} {
		command := exec.CommandContext(ctx, os.Args[0], life, path, addr)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Run(); life == "lives" {
			check(err)
		}
	}
	check(errors.Join(worker.Shutdown(ctx), <-done))
}

// shop is a process. In its first life it takes two orders and is killed; in its second one it relays what it finds.
func shop(ctx context.Context, life, path, workers string) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	check(err)
	box := outbox.New(outbox.SQLite)
	check(box.Migrate(ctx, db))
	if life == "dies" {
		take(ctx, db, box, Order{1}, true)
		take(ctx, db, box, Order{2}, false)
		fmt.Println("shop: dies before it has told anybody")
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	producer := pushpull.NewProducer[Order](patterns.WithSocketOptions(socket.WithAck()))
	defer producer.Close()
	check(producer.Connect(workers))
	relay := outbox.NewRelay(box, db, outbox.ToPush(producer.Push), outbox.WithHook(func(context.Context, outbox.Event) {}))
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	for range time.Tick(10 * time.Millisecond) {
		n, err := box.Pending(ctx, db)
		if check(err); n == 0 {
			break
		}
	}
	check(relay.Shutdown(ctx))
	check(<-done)
}

// take commits an order with the message about it, or neither.
func take(ctx context.Context, db *sql.DB, box *outbox.Outbox, o Order, commit bool) {
	tx, err := db.BeginTx(ctx, nil)
	check(err)
	defer tx.Rollback()
	_, err = box.Add(ctx, tx, "orders.placed", o) // next to INSERT INTO orders ...
	check(err)
	if !commit {
		fmt.Println("shop: order", o.Number, "is rolled back")
		return
	}
	check(tx.Commit())
	fmt.Println("shop: order", o.Number, "is committed")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
