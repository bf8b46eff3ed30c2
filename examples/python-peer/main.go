// Python peer: a Go program asks a Python program that uses pyzmq. Any ZeroMQ library in any language will do: on the wire it is the
// same protocol.
//
//	go run ./examples/python-peer                               needs pyzmq: apt-get install python3-zmq
//	go run ./examples/python-peer -python /opt/python/bin/python
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/meshmq/meshmq/socket"
)

//go:embed peer.py
var peer string

// pythons are where pyzmq may be: the one on the path is often not the system's, for which packages are.
var pythons = []string{"python3", "/usr/bin/python3", "/usr/local/bin/python3", "python"}

// withPyzmq returns the first Python that has it.
func withPyzmq() string {
	for _, python := range pythons {
		if exec.Command(python, "-c", "import zmq").Run() == nil {
			return python
		}
	}
	log.Fatalf("none of %s can import zmq: apt-get install python3-zmq, or name a Python that can with -python", strings.Join(pythons, ", "))
	return ""
}

func main() {
	python := flag.String("python", "", "Python interpreter that has pyzmq; default: one of "+strings.Join(pythons, ", "))
	flag.Parse()
	if *python == "" {
		*python = withPyzmq()
	}
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
