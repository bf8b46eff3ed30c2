// Python peer: a Go program asks a Python program that uses pyzmq. Any ZeroMQ library in any language will do: on the wire it is the
// same protocol.
//
//	go run ./examples/python-peer                             needs pyzmq: apt-get install python3-zmq
//	go run ./examples/python-peer -python /usr/bin/python3
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"github.com/meshmq/meshmq/socket"
)

//go:embed peer.py
var peer string

func main() {
	python := flag.String("python", "python3", "Python interpreter that has pyzmq")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req := socket.NewReq()
	defer req.Close()
	addr, err := req.Bind("tcp://127.0.0.1:0") // either side may bind
	if err != nil {
		log.Fatal(err)
	}
	service := exec.CommandContext(ctx, *python, "-c", peer, addr)
	service.Stderr = os.Stderr
	if err := service.Start(); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- service.Wait()
		cancel() // a service that ended early has no answers
	}()

	for _, item := range []string{"tea", "coffee", "cocoa", "go home"} {
		reply, err := req.Request(ctx, []byte(item))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("go: %s?  python (ZMTP %s): %s\n", item, reply.Peer().Version(), reply)
	}
	fmt.Println("python ended, error:", <-ended)
}
