package socket_test

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/socket"
)

func ExampleSub_WaitSubscribed() {
	ctx := context.Background()
	pub, sub := socket.NewPub(), socket.NewSub()
	defer pub.Close()
	defer sub.Close()
	pub.Bind("inproc://wait-subscribed")
	sub.Connect("inproc://wait-subscribed")

	sub.Subscribe("weather.")
	sub.WaitSubscribed(ctx, 1) // the publisher knows: from here on nothing is missed
	pub.Send(ctx, []byte("weather.oslo"), []byte("snow"))
	m, _ := sub.Recv(ctx)
	fmt.Println(m)
	// Output: snow
}

func ExampleWithDropPolicy() {
	ctx := context.Background()
	pub := socket.NewPub(socket.WithDropPolicy(socket.Disconnect), socket.WithSendHWM(100))
	defer pub.Close()
	pub.Bind("inproc://drop-policy")
	sub := socket.NewSub(socket.WithRecvHWM(100)) // which never receives
	defer sub.Close()
	sub.Subscribe("")
	sub.Connect("inproc://drop-policy")
	pub.WaitSubscribers(ctx, "", 1)

	events := pub.Events(ctx)
	for pub.Stats().Dropped[socket.DropFull] == 0 {
		pub.Send(ctx, make([]byte, 10_000))
	}
	for event := range events {
		if event.Kind == socket.Disconnected {
			fmt.Println(event.Err)
			break
		}
	}
	// Output: queue full: the peer reads too slowly, and the drop policy is to disconnect it
}

// A last-value cache: whoever subscribes is sent the last value first.
func ExampleXPub_SendTo() {
	ctx := context.Background()
	last := map[string]string{"price": "42"}
	xpub := socket.NewXPub(socket.WithManual())
	defer xpub.Close()
	xpub.Bind("inproc://last-value")
	sub := socket.NewSub()
	defer sub.Close()
	sub.Subscribe("price")
	sub.Connect("inproc://last-value")

	asked, _ := xpub.Recv(ctx) // 1 and the topic
	topic := string(asked.Bytes()[1:])
	xpub.SendTo(ctx, asked.Peer(), []byte(topic), []byte(last[topic]))
	xpub.Grant(asked.Peer(), topic)
	xpub.Send(ctx, []byte("price"), []byte("43"))
	for range 2 {
		m, _ := sub.Recv(ctx)
		fmt.Println(m)
	}
	// Output:
	// 42
	// 43
}
