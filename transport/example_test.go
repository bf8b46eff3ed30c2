package transport_test

import (
	"context"
	"fmt"
	"io"

	"github.com/meshmq/meshmq/transport"
)

func Example() {
	ctx := context.Background()
	bind, err := transport.ParseBind("tcp://127.0.0.1:*")
	if err != nil {
		panic(err)
	}
	ln, err := bind.Listen(ctx)
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			io.WriteString(conn, "hello")
			conn.Close()
		}
	}()

	connect, err := transport.ParseConnect(ln.Endpoint()) // the real port is known here
	if err != nil {
		panic(err)
	}
	conn, err := connect.Dial(ctx)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Println(string(text), err)
	// Output: hello <nil>
}

func ExampleEndpointError() {
	_, err := transport.ParseConnect("tcp://orders.local:5555/jobs")
	fmt.Println(err)
	_, err = transport.ParseConnect("tcp://*:5555")
	fmt.Println(err)
	// Output:
	// invalid endpoint "tcp://orders.local:5555/jobs": nothing may follow the port; write tcp://orders.local:5555 without "/jobs"
	// invalid endpoint "tcp://*:5555": * is for bind only; name the host to connect to
}
