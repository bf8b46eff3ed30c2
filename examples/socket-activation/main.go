// Socket activation: a service takes over a listener that is there already. A service manager such as systemd holds the port while the service
// restarts, so that nobody is refused meanwhile. Any other net.Listener will do, too, such as one that speaks TLS.
//
//	go run ./examples/socket-activation                                         listens itself
//	systemd-socket-activate -l 5555 go run ./examples/socket-activation -stay   is given the listener
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/meshmq/meshmq/socket"
)

func main() {
	stay := flag.Bool("stay", false, "serve until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	// [listener]
	rep := socket.NewRep()
	defer rep.Close()
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	addr, err := rep.BindListener(listener) // which is the socket's from here on
	// [/listener]
	if err != nil {
		log.Fatal(err)
	}
	if !*stay {
		go ask(ctx, addr)
	}
	for msg, err := range rep.Messages(ctx) {
		if err != nil {
			break // interrupted
		}
		if err := rep.Send(ctx, fmt.Appendf(nil, "process %d says hello to %s", os.Getpid(), msg)); err != nil {
			log.Fatal(err)
		}
		if !*stay {
			break
		}
	}
	if err := rep.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// listen returns the listener that a service manager passed, the first file after the standard ones, or one of our own.
func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") == "" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	file := os.NewFile(3, "listener")
	defer file.Close() // FileListener has a copy
	return net.FileListener(file)
}

func ask(ctx context.Context, addr string) {
	req := socket.NewReq()
	defer req.Close()
	if err := req.Connect(addr); err != nil {
		log.Fatal(err)
	}
	reply, err := req.Request(ctx, []byte("anna"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply)
}
