package socket_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/meshmq/meshmq/socket"
)

func ExampleNewServer() {
	ctx := context.Background()
	server := socket.NewServer()
	defer server.Close()
	endpoint, err := server.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client := socket.NewClient()
	defer client.Close()
	client.Connect(endpoint)
	client.Send(ctx, []byte("who am I?"))

	m, err := server.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	server.Send(ctx, m.RoutingID(), []byte("a "+m.Peer().SocketType())) // now, later, or more than once
	m, err = client.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m)
	// Output: a CLIENT
}

func ExampleNewClient() {
	ctx := context.Background()
	server := socket.NewServer()
	defer server.Close()
	endpoint, _ := server.Bind("inproc://square")
	go func() {
		for m := range server.Messages(ctx) {
			server.Send(ctx, m.RoutingID(), append(m.Bytes(), m.Bytes()...))
		}
	}()

	client := socket.NewClient()
	defer client.Close()
	client.Connect(endpoint)
	for _, body := range []string{"a", "b"} { // no lockstep: send as many as you like before the first answer
		client.Send(ctx, []byte(body))
	}
	for range 2 {
		m, err := client.Recv(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m)
	}
	// Output:
	// aa
	// bb
}

func ExampleNewScatter() {
	ctx := context.Background()
	scatter := socket.NewScatter()
	defer scatter.Close()
	endpoint, _ := scatter.Bind("inproc://stage-1")
	gather := socket.NewGather()
	defer gather.Close()
	gather.Connect(endpoint)

	scatter.Send(ctx, []byte("job"))
	m, err := gather.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m)
	// Output: job
}

func ExampleNewGather() {
	ctx := context.Background()
	gather := socket.NewGather() // collects from any number of stages
	endpoint, _ := gather.Bind("inproc://results")
	for _, result := range []string{"one", "two"} {
		scatter := socket.NewScatter()
		scatter.Connect(endpoint)
		scatter.Send(ctx, []byte(result))
		m, err := gather.Recv(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m)
		scatter.Close()
	}
	gather.Close()
	// Output:
	// one
	// two
}

func ExampleNewChannel() {
	ctx := context.Background()
	left, right := socket.NewChannel(), socket.NewChannel()
	defer left.Close()
	defer right.Close()
	endpoint, _ := left.Bind("inproc://door")
	right.Connect(endpoint)

	right.Send(ctx, []byte("knock"))
	m, err := left.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m)
	// Output: knock
}

func ExampleP2P_ConnectPeer() {
	ctx := context.Background()
	alice, bob := socket.NewP2P(), socket.NewP2P()
	defer alice.Close()
	defer bob.Close()
	endpoint, _ := bob.Bind("tcp://127.0.0.1:0")
	id, err := alice.ConnectPeer(endpoint)
	if err != nil {
		log.Fatal(err)
	}
	alice.Send(ctx, id, []byte("hello, bob")) // by the number of ours for bob

	m, err := bob.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m)
	bob.Send(ctx, m.RoutingID(), []byte("hello, alice")) // by the number of his for us
	m, err = alice.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m, m.RoutingID() == id)
	// Output:
	// hello, bob
	// hello, alice true
}

func ExampleNewRadio() {
	ctx := context.Background()
	radio := socket.NewRadio()
	defer radio.Close()
	endpoint, _ := radio.Bind("tcp://127.0.0.1:0")
	dish := socket.NewDish()
	defer dish.Close()
	dish.Join("weather")
	dish.Connect(endpoint)
	if err := radio.WaitSubscribers(ctx, "weather", 1); err != nil { // else what is sent before it joined is lost to it
		log.Fatal(err)
	}
	radio.Send(ctx, "weather/alps", []byte("snow")) // another group, though it starts the same
	radio.Send(ctx, "weather", []byte("sunny"))

	m, err := dish.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Group(), m)
	// Output: weather sunny
}

func ExampleNewDish() {
	ctx := context.Background()
	dish := socket.NewDish() // may bind as well, for radios that come and go
	endpoint, _ := dish.Bind("inproc://channels")
	if err := dish.Join("1", "2"); err != nil {
		log.Fatal(err)
	}
	radio := socket.NewRadio()
	defer radio.Close()
	radio.Connect(endpoint)
	radio.WaitSubscribers(ctx, "2", 1)
	radio.Send(ctx, "2", []byte("news at ten"))

	for m, err := range dish.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("channel %s: %s\n", m.Group(), m)
		dish.Close()
	}
	// Output: channel 2: news at ten
}

func ExampleNewStream() {
	ctx := context.Background()
	stream := socket.NewStream()
	defer stream.Close()
	endpoint, err := stream.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		names := map[string]string{}
		for m, err := range stream.Messages(ctx) {
			if err != nil {
				return
			}
			id, data := m.Frames[0], m.Frames[1]
			switch {
			case len(data) > 0: // some bytes, perhaps not all of a line
				names[string(id)] += string(data)
			case names[string(id)] == "": // it has just connected
				stream.Send(ctx, id, []byte("your name? "))
			}
			if name, whole := strings.CutSuffix(names[string(id)], "\n"); whole {
				stream.Send(ctx, id, []byte("hello, "+name))
				stream.Send(ctx, id, nil) // that was all
			}
		}
	}()

	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://")) // it could be telnet
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "Ada")
	answer, _ := io.ReadAll(conn)
	fmt.Println(string(answer))
	// Output: your name? hello, Ada
}
