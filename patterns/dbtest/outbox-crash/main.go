// Outbox-crash: a shop takes orders, and dies right after it has committed one. The message about it was committed with it, so the shop that starts next publishes it;
// the order that the database refuses is never told of.
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
type Order struct{ Number, Count int }

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
		_, err := db.ExecContext(ctx, "CREATE TABLE orders (number INTEGER PRIMARY KEY, count INTEGER CHECK (count > 0))")
		check(err)
		for _, o := range []Order{{1, 3}, {2, 0}} {
			became := "committed"
			if place(ctx, db, box, o) != nil {
				became = "rolled back"
			}
			fmt.Println("shop: order", o.Number, "is", became)
		}
		fmt.Println("shop: dies before it has told anybody")
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	producer := pushpull.NewProducer[Order](patterns.WithSocketOptions(socket.WithAck()))
	defer producer.Close()
	check(producer.Connect(workers))
	done := make(chan error, 1)
	quiet := outbox.WithHook(func(context.Context, outbox.Event) {})
	// [outbox-relay]
	relay := outbox.NewRelay(box, db, outbox.ToPush(producer.Push), quiet) // of any number of relays one leads
	go func() { done <- relay.Run(ctx) }()
	// [/outbox-relay]
	for range time.Tick(10 * time.Millisecond) {
		n, err := box.Pending(ctx, db)
		if check(err); n == 0 {
			break
		}
	}
	check(relay.Shutdown(ctx))
	check(<-done)
}

// place commits an order with the message about it, or neither.
func place(ctx context.Context, db *sql.DB, box *outbox.Outbox, o Order) error {
	// [outbox]
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if _, err := box.Add(ctx, tx, "orders.placed", o, outbox.WithKey(fmt.Sprint(o.Number))); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (number, count) VALUES ($1, $2)", o.Number, o.Count); err != nil {
		return err // and nobody is told
	}
	return tx.Commit()
	// [/outbox]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
