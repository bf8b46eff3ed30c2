package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/outbox"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

type Order struct{ Number int }

// An order and the message about it are committed together, or not at all.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres:///shop") // a program imports the driver it likes
	if err != nil {
		log.Fatal(err)
	}
	box := outbox.New(outbox.PostgreSQL, outbox.WithMessages(patterns.WithSource("shop")))
	if err := box.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	place := func(o Order) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (number) VALUES ($1)", o.Number); err != nil {
			return err
		}
		if _, err := box.Add(ctx, tx, "orders.placed", o, outbox.WithKey(fmt.Sprint(o.Number))); err != nil {
			return err
		}
		return tx.Commit()
	}
	fmt.Println(place(Order{Number: 1}))
}

// A relay publishes to a producer's socket: what is in the spool is published.
func ExampleNewRelay() {
	ctx := context.Background()
	var db *sql.DB         // the database
	var box *outbox.Outbox // in it
	producer := pushpull.NewProducer[Order](patterns.WithSocketOptions(
		socket.WithSpool("/var/lib/shop/orders", spool.Options{}), socket.WithAck()))
	defer producer.Close()
	if err := producer.Connect("tcp://workers:5000"); err != nil {
		log.Fatal(err)
	}
	relay := outbox.NewRelay(box, db, outbox.ToPush(producer.Push))
	if err := relay.Run(ctx); err != nil { // until ctx ends, or Shutdown
		log.Fatal(err)
	}
}

// Without a spool a message is published when a worker has handled it.
func ExampleToPush() {
	push := socket.NewPush(socket.WithAck(), socket.WithAckRequired())
	defer push.Close()
	sink := outbox.ToPush(push)
	fmt.Println(sink.Flush(context.Background())) // nothing is on its way
	// Output: <nil>
}

// Events go to the log of a publisher, from where subscribers with a durable name get them.
func ExampleToPublisher() {
	publisher := pubsub.NewPublisher(pubsub.WithLog("/var/lib/shop/events", spool.Options{}))
	defer publisher.Close()
	_ = outbox.ToPublisher(publisher) // a Sink for NewRelay
}
