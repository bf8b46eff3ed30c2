package zmq4_test

import (
	"context"
	"fmt"
	"log"

	zmq4 "github.com/meshmq/meshmq/socket/zmq4compat"
)

// A program that was written for go-zeromq: nothing has changed but the import.
func Example() {
	ctx := context.Background()
	rep := zmq4.NewRep(ctx)
	defer rep.Close()
	if err := rep.Listen("tcp://127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			msg, err := rep.Recv()
			if err != nil {
				return // closed
			}
			rep.Send(zmq4.NewMsgFrom(append([]byte("hello, "), msg.Frames[0]...)))
		}
	}()

	req := zmq4.NewReq(ctx, zmq4.WithID(zmq4.SocketIdentity("client")))
	defer req.Close()
	if err := req.Dial("tcp://" + rep.Addr().String()); err != nil {
		log.Fatal(err)
	}
	if err := req.Send(zmq4.NewMsgString("world")); err != nil {
		log.Fatal(err)
	}
	msg, err := req.Recv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", msg.Frames[0])
	// Output: hello, world
}
