// Publish-subscribe: a weather station tells, and each subscriber hears what it asked for.
//
//	go run ./examples/publish-subscribe
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
)

var readings = [][2]string{
	{"temperature.berlin", "12"}, {"wind.berlin", "30"}, {"temperature.oslo", "4"}, {"wind.oslo", "12"}, {"end", ""},
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pub := socket.NewPub()
	defer pub.Close()
	addr, err := pub.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	var subscribers sync.WaitGroup
	for name, topic := range map[string]string{"thermometer": "temperature.", "sailor": "wind.oslo", "archive": ""} {
		subscribers.Go(func() {
			if err := listen(ctx, name, addr, topic); err != nil {
				log.Fatal(err)
			}
		})
	}
	// A publisher does not wait for subscribers: who comes later misses what was told. So wait for all three.
	if err := pub.WaitSubscribers(ctx, "end", 3); err != nil {
		log.Fatal(err)
	}
	for _, r := range readings {
		if err := pub.Send(ctx, []byte(r[0]), []byte(r[1])); err != nil { // topic and body: a frame each
			log.Fatal(err)
		}
	}
	subscribers.Wait()
	stats := pub.Stats()
	fmt.Printf("station: %d readings delivered, %d dropped\n", stats.MessagesOut, stats.Dropped[socket.DropFull])
}

// listen prints what is told under topic, until the end.
func listen(ctx context.Context, name, addr, topic string) error {
	sub := socket.NewSub()
	defer sub.Close()
	if err := sub.Subscribe(topic, "end"); err != nil {
		return err
	}
	if err := sub.Connect(addr); err != nil {
		return err
	}
	for msg, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		if string(msg.Frames[0]) == "end" {
			return nil
		}
		fmt.Printf("%s: %s is %s\n", name, msg.Frames[0], msg.Bytes())
	}
	return ctx.Err()
}
