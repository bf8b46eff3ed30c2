// Command zmq4 is go-zeromq/zmq4 in the patterns of `meshmq bench`: it prints one JSON object like those of `meshmq bench --json`.
//
//	zmq4 throughput|requests SIZE SECONDS
//
// The far side is another process of the same program.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/go-zeromq/zmq4"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("zmq4: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: zmq4 throughput|requests SIZE SECONDS")
	}
	pattern := os.Args[1]
	size, err := strconv.Atoi(os.Args[2])
	check(err)
	if pattern == "push" || pattern == "req" {
		far(pattern, os.Args[3], make([]byte, size))
		return
	}
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	check(err)
	rate := near(pattern, size, time.Duration(seconds*float64(time.Second)))
	fmt.Printf(`{"pattern":%q,"transport":"tcp","size":%d,"msgs_per_second":%.1f}`+"\n", pattern, size, rate)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// near binds, starts the far side and counts what it gets done.
func near(pattern string, size int, d time.Duration) (rate float64) {
	ctx := context.Background()
	s, kind := zmq4.NewPull(ctx), "push"
	if pattern == "requests" {
		s, kind = zmq4.NewRep(ctx), "req"
	}
	check(s.Listen("tcp://127.0.0.1:0"))
	self, err := os.Executable()
	check(err)
	other := exec.Command(self, kind, strconv.Itoa(size), "tcp://"+s.Addr().String())
	other.Stderr = os.Stderr
	check(other.Start())
	defer other.Wait()
	defer other.Process.Kill()
	one := func() {
		m, err := s.Recv()
		check(err)
		if len(m.Bytes()) != size {
			log.Fatalf("message of %d bytes, want %d", len(m.Bytes()), size)
		}
		if pattern == "requests" {
			check(s.Send(zmq4.NewMsg(m.Bytes())))
		}
	}
	repeat(one, d/10)
	return repeat(one, d)
}

func repeat(one func(), d time.Duration) (rate float64) {
	n := 0
	for start := time.Now(); ; n++ {
		one()
		if n%64 == 63 {
			if took := time.Since(start); took >= d {
				return float64(n+1) / took.Seconds()
			}
		}
	}
}

func far(kind, endpoint string, body []byte) {
	ctx := context.Background()
	s := zmq4.NewPush(ctx)
	if kind == "req" {
		s = zmq4.NewReq(ctx)
	}
	check(s.Dial(endpoint))
	for {
		check(s.Send(zmq4.NewMsg(body)))
		if kind == "req" {
			_, err := s.Recv()
			check(err)
		}
	}
}
