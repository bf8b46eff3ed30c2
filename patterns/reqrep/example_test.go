package reqrep_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns/reqrep"
)

// A service has named methods. It is shut down in order: calls in hand are answered first.
func ExampleNewService() {
	service := reqrep.NewService()
	err := reqrep.Handle(service, "price.of", func(_ context.Context, item string) (int, error) {
		if item != "tea" {
			return 0, reqrep.Errorf("unknown_item", "no %s here", item)
		}
		return 350, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	addr, err := service.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- service.Run(context.Background()) }()

	client := reqrep.NewClient()
	defer client.Close()
	if err := client.Connect(addr); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	price, err := reqrep.Call[string, int](ctx, client, "price.of", "tea")
	fmt.Println(price, err)
	_, err = reqrep.Call[string, int](ctx, client, "price.of", "coffee")
	if answer, ok := errors.AsType[*reqrep.Error](err); ok {
		fmt.Println(answer.Code, "-", answer.Message)
	}
	fmt.Println(service.Shutdown(ctx), <-ended)
	// Output:
	// 350 <nil>
	// unknown_item - no coffee here
	// <nil> <nil>
}

// A call to a service that is not there fails at once.
func ExampleNewClient() {
	client := reqrep.NewClient()
	defer client.Close()
	_, err := reqrep.Call[string, int](context.Background(), client, "price.of", "tea")
	fmt.Println(err)
	// Output: call price.of: no peer
}
