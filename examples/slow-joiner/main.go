// Slow joiner: who subscribes to a publisher that is already talking misses what was said before the subscription arrived, and with plain
// ZeroMQ nobody can tell when that is. Here each side can wait for it, and a publisher can say it.
//
//	go run ./examples/slow-joiner
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/socket"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pub := socket.NewPub(socket.WithWelcomeMessage([]byte("news."), []byte("you miss nothing from here on")))
	defer pub.Close()
	addr, err := pub.Bind("tcp://127.0.0.1:0")
	check(err)

	// The subscriber waits: all publishers that it is connected to, one here, have dealt with its subscriptions.
	// [wait-subscribed]
	sub := socket.NewSub()
	defer sub.Close()
	check(sub.Subscribe("news.", "weather."))
	check(sub.Connect(addr))
	check(sub.WaitSubscribed(ctx, 1)) // one publisher has both subscriptions in force
	// [/wait-subscribed]
	publish(ctx, pub, "weather.", 500)
	count(ctx, sub, "weather.", 500)

	// The publisher waits: somebody will get this topic. It can also be told of each subscription, as an event.
	late := socket.NewSub()
	defer late.Close()
	check(late.Subscribe("sport."))
	check(late.Connect(addr))
	// [wait-subscribers]
	check(pub.WaitSubscribers(ctx, "sport.football", 1)) // one subscriber will get this topic
	// [/wait-subscribers]
	publish(ctx, pub, "sport.football", 500)
	count(ctx, late, "sport.football", 500)
}

func publish(ctx context.Context, pub *socket.Pub, topic string, n int) {
	for i := range n {
		check(pub.Send(ctx, []byte(topic), fmt.Appendf(nil, "number %d", i+1)))
	}
	fmt.Printf("published %d of %s\n", n, topic)
}

// count receives until the last message of a topic has come.
func count(ctx context.Context, sub *socket.Sub, topic string, last int) {
	for got := 0; ; {
		msg, err := sub.Recv(ctx)
		check(err)
		if string(msg.Frames[0]) != topic {
			fmt.Printf("%s %s\n", msg.Frames[0], msg) // the welcome message, to who subscribed to it
			continue
		}
		if got++; msg.String() == fmt.Sprintf("number %d", last) {
			fmt.Printf("received %d of %s\n", got, topic)
			return
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
