// Websocket: a publisher over ws://, for other sockets and for browsers. Open the page that it serves: its script is all that a browser needs.
//
//	go run ./examples/websocket         a socket subscribes, and that is all
//	go run ./examples/websocket -stay   for a browser, until interrupted
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/meshmq/meshmq/socket"
)

//go:embed page.html
var page string

func main() {
	stay := flag.Bool("stay", false, "publish until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	site := "http://" + web.Addr().String()

	// [websocket]
	pub := socket.NewPub(socket.WithOrigins(site)) // whose pages may connect; programs always may
	addr, err := pub.Bind("ws://127.0.0.1:0/clock")
	// [/websocket]
	check(err)
	defer pub.Close()
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // ends with the program
		template.Must(template.New("page").Parse(page)).Execute(w, addr)
	}))
	fmt.Println("page:", site)

	if !*stay {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() { subscribe(ctx, addr); cancel() }()
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		check(pub.Send(context.Background(), []byte("time"), []byte(time.Now().Format(time.RFC3339Nano))))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// subscribe prints three messages.
func subscribe(ctx context.Context, addr string) {
	sub := socket.NewSub()
	defer sub.Close()
	check(sub.Subscribe("time"))
	check(sub.Connect(addr))
	for range 3 {
		msg, err := sub.Recv(ctx)
		check(err)
		fmt.Printf("%s over ws: %s\n", msg.Frames[0], msg)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
