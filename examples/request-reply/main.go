// Request-reply: a price service answers questions, one at a time for each customer.
//
//	go run ./examples/request-reply
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/socket"
)

var prices = map[string]string{"tea": "3.50", "coffee": "4.20"}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rep := socket.NewRep()
	defer rep.Close()
	addr, err := rep.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { // ends when rep is closed
		if err := serve(ctx, rep); err != nil {
			log.Fatal(err)
		}
	}()

	req := socket.NewReq()
	defer req.Close()
	if err := req.Connect(addr); err != nil {
		log.Fatal(err)
	}
	for _, item := range []string{"tea", "coffee", "cocoa"} {
		reply, err := req.Request(ctx, []byte(item))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("customer: a %s, please\nservice:  %s\n", item, reply)
	}

	// Nobody answers at this endpoint. The request ends with its context; the socket stays usable.
	lost := socket.NewReq()
	defer lost.Close()
	if err := lost.Connect("inproc://nobody"); err != nil {
		log.Fatal(err)
	}
	short, done := context.WithTimeout(ctx, 200*time.Millisecond)
	defer done()
	_, err = lost.Request(short, []byte("anybody?"))
	fmt.Println("no peer:", errors.Is(err, socket.ErrNoPeer), "- timeout:", errors.Is(err, socket.ErrTimeout))
}

// serve answers each request.
func serve(ctx context.Context, rep *socket.Rep) error {
	for msg, err := range rep.Messages(ctx) {
		if err != nil {
			return err
		}
		answer, ok := prices[msg.String()]
		if !ok {
			answer = "we have none"
		}
		if err := rep.Send(ctx, []byte(answer)); err != nil {
			return err
		}
	}
	return nil
}
