package examples_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func keep(ctx context.Context, dir, addr string) {
	// [spool]
	push := socket.NewPush(socket.WithSpool(dir, spool.Options{}))
	defer push.Close()
	check(push.Connect(addr))
	check(push.Send(ctx, []byte("job 1"))) // on disk, whether anybody is there or not
	check(push.WaitAcked(ctx))             // somebody has done it
	// [/spool]
	fmt.Println("done and acknowledged")
}

func work(ctx context.Context, addr string, do func(socket.Msg) error) {
	// [acknowledge]
	pull := socket.NewPull(socket.WithAck())
	defer pull.Close()
	_, err := pull.Bind(addr)
	check(err)
	for job, err := range pull.Messages(ctx) { // the next turn acknowledges the job of the last
		if err != nil {
			break
		}
		check(do(job)) // ends the program if it fails: the job goes to another
	}
	// [/acknowledge]
}

func Example_nothingLost() {
	home, err := os.MkdirTemp("", "meshmq-example-")
	check(err)
	defer os.RemoveAll(home)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work(ctx, "inproc://readme-jobs", func(job socket.Msg) error {
			fmt.Println("doing", job)
			return nil
		})
	}()
	keep(ctx, filepath.Join(home, "outbox"), "inproc://readme-jobs")
	cancel()
	<-ended
	// Output:
	// doing job 1
	// done and acknowledged
}
