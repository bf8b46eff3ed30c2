package socket_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/socket"
)

func ExampleNewPush() {
	ctx := context.Background()
	pull := socket.NewPull()
	defer pull.Close()
	push := socket.NewPush(socket.WithSendHWM(100))
	defer push.Close()

	endpoint, err := pull.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := push.Connect(endpoint); err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		if err := push.Send(ctx, fmt.Appendf(nil, "job %d", i)); err != nil {
			log.Fatal(err)
		}
	}
	for range 3 {
		m, err := pull.Recv(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m)
	}
	// Output:
	// job 0
	// job 1
	// job 2
}

func ExampleNewPull() {
	pull := socket.NewPull()
	push := socket.NewPush()
	defer push.Close()
	endpoint, _ := push.Bind("inproc://jobs")
	pull.Connect(endpoint)
	push.Send(context.Background(), []byte("last job"))

	for m, err := range pull.Messages(context.Background()) { // ends when pull is closed
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m, "from a", m.Peer().SocketType())
		pull.Close()
	}
	// Output: last job from a PUSH
}

func ExampleNewReq() {
	rep := socket.NewRep()
	defer rep.Close()
	endpoint, _ := rep.Bind("tcp://127.0.0.1:0")
	go func() {
		for m, err := range rep.Messages(context.Background()) {
			if err != nil {
				return
			}
			rep.Send(context.Background(), []byte("hello, "+m.String()))
		}
	}()

	req := socket.NewReq()
	defer req.Close()
	req.Connect(endpoint)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := req.Request(ctx, []byte("world"))
	switch {
	case errors.Is(err, socket.ErrTimeout), errors.Is(err, socket.ErrPeerGone):
		fmt.Println("no answer; the next request may be made:", err)
	case err == nil:
		fmt.Println(reply)
	}
	// Output: hello, world
}

func ExampleNewRep() {
	ctx := context.Background()
	rep, req := socket.NewRep(), socket.NewReq()
	defer rep.Close()
	defer req.Close()
	rep.Bind("inproc://rep")
	req.Connect("inproc://rep")

	req.Send(ctx, []byte("2"), []byte("3"))
	m, _ := rep.Recv(ctx)
	rep.Send(ctx, []byte(string(m.Frames[0])+"+"+string(m.Frames[1])+"=5"))
	m, _ = req.Recv(ctx)
	fmt.Println(m)
	// Output: 2+3=5
}

func ExampleNewRouter() {
	ctx := context.Background()
	router := socket.NewRouter()
	defer router.Close()
	router.Bind("inproc://router")
	dealer := socket.NewDealer(socket.WithIdentity("alice"))
	defer dealer.Close()
	dealer.Connect("inproc://router")

	dealer.Send(ctx, []byte("hi"))
	m, _ := router.Recv(ctx)
	fmt.Printf("%s says %s\n", m.Frames[0], m.Frames[1])
	router.Send(ctx, []byte("alice"), []byte("hi yourself"))
	m, _ = dealer.Recv(ctx)
	fmt.Println(m)
	err := router.Send(ctx, []byte("bob"), []byte("hi"))
	fmt.Println(errors.Is(err, socket.ErrNoPeer))
	// Output:
	// alice says hi
	// hi yourself
	// true
}

func ExampleNewDealer() {
	ctx := context.Background()
	a, b := socket.NewDealer(), socket.NewDealer()
	defer a.Close()
	defer b.Close()
	a.Bind("inproc://dealers")
	b.Connect("inproc://dealers")

	b.Send(ctx, []byte("one"))
	b.Send(ctx, []byte("two")) // no need to wait for an answer
	for range 2 {
		m, _ := a.Recv(ctx)
		fmt.Println(m)
	}
	// Output:
	// one
	// two
}

func ExampleNewPub() {
	ctx := context.Background()
	pub := socket.NewPub()
	defer pub.Close()
	endpoint, _ := pub.Bind("tcp://127.0.0.1:0")
	sub := socket.NewSub()
	defer sub.Close()
	sub.Subscribe("weather.")
	sub.Connect(endpoint)

	pub.WaitSubscribers(ctx, "weather.", 1) // without it, what is sent before the subscription arrives goes nowhere
	pub.Send(ctx, []byte("sports.chess"), []byte("1-0"))
	pub.Send(ctx, []byte("weather.oslo"), []byte("snow"))
	m, _ := sub.Recv(ctx)
	fmt.Printf("%s: %s\n", m.Frames[0], m.Bytes())
	// Output: weather.oslo: snow
}

func ExampleNewSub() {
	sub := socket.NewSub()
	defer sub.Close()
	fmt.Println(sub.Subscribe("a", "b"))
	fmt.Println(sub.Unsubscribe("c"))
	// Output:
	// <nil>
	// unsubscribe: wrong state: not subscribed to "c"
}

func ExampleNewXPub() {
	ctx := context.Background()
	xpub := socket.NewXPub()
	defer xpub.Close()
	xpub.Bind("inproc://xpub")
	sub := socket.NewSub()
	defer sub.Close()
	sub.Connect("inproc://xpub")
	sub.Subscribe("news")

	m, _ := xpub.Recv(ctx)
	fmt.Printf("%q\n", m.Bytes()) // 1 and the topic: somebody wants it now
	// Output: "\x01news"
}

func ExampleNewXSub() {
	ctx := context.Background()
	pub := socket.NewPub()
	defer pub.Close()
	pub.Bind("inproc://xsub")
	xsub := socket.NewXSub()
	defer xsub.Close()
	xsub.Connect("inproc://xsub")

	xsub.Send(ctx, []byte("\x01news")) // as an XPUB showed it: this is all a proxy does
	pub.WaitSubscribers(ctx, "news", 1)
	pub.Send(ctx, []byte("news"), []byte("nothing new"))
	m, _ := xsub.Recv(ctx)
	fmt.Println(m)
	// Output: nothing new
}

func ExampleNewPair() {
	ctx := context.Background()
	a, b := socket.NewPair(), socket.NewPair()
	defer a.Close()
	defer b.Close()
	a.Bind("inproc://pair")
	b.Connect("inproc://pair")

	b.Send(ctx, []byte("ping"))
	m, _ := a.Recv(ctx)
	a.Send(ctx, []byte("pong to "+m.String()))
	m, _ = b.Recv(ctx)
	fmt.Println(m)
	// Output: pong to ping
}

// Services embed sockets and add what is theirs.
func Example_embedding() {
	type Billing struct {
		*socket.Rep
		rate int
	}
	billing := Billing{socket.NewRep(), 7}
	defer billing.Close()
	billing.Bind("inproc://billing")
	go func() {
		for m, err := range billing.Messages(context.Background()) {
			if err != nil {
				return
			}
			billing.Send(context.Background(), fmt.Append(nil, billing.rate*len(m.Bytes())))
		}
	}()

	client := socket.NewReq()
	defer client.Close()
	client.Connect("inproc://billing")
	reply, _ := client.Request(context.Background(), []byte("hours!"))
	fmt.Println(reply)
	// Output: 42
}
