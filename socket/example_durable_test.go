package socket_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// A subscriber that names itself gets what was published before it came, and goes on where it was.
func ExampleWithDurable() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	pub := socket.NewPub(socket.WithSpool(filepath.Join(dir, "log"), spool.Options{Retention: spool.Retention{Count: 100_000}}))
	defer pub.Close()
	endpoint, err := pub.Bind("tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	for _, price := range []string{"10.2", "10.3", "10.1"} { // nobody listens
		if err := pub.Send(ctx, []byte("prices"), []byte(price)); err != nil {
			log.Fatal(err)
		}
	}

	sub := socket.NewSub(socket.WithDurable("chart", spool.Beginning()))
	defer sub.Close()
	if err := errors.Join(sub.Subscribe("prices"), sub.Connect(endpoint)); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		m, err := sub.Recv(ctx) // acknowledges the message before
		if err != nil {         // a *socket.MissedError for what the log does not have any more
			log.Fatal(err)
		}
		fmt.Println(m)
	}
	// Output:
	// 10.2
	// 10.3
	// 10.1
}
