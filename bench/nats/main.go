// Command nats is NATS core in the patterns of `meshmq bench`: it prints one JSON object like those of `meshmq bench --json`. It is a
// module of its own, so that nobody who uses meshmq downloads NATS.
//
//	nats throughput|fanout|requests SIZE PEERS SECONDS
//
// The server, the publisher or requesters, and the subscribers or the responder are a process each, on loopback.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const subject = "bench"

func main() {
	log.SetFlags(0)
	log.SetPrefix("nats: ")
	if len(os.Args) == 2 && os.Args[1] == "server" {
		serve()
		return
	}
	if len(os.Args) != 5 {
		log.Fatal("usage: nats throughput|fanout|requests SIZE PEERS SECONDS")
	}
	size, err := strconv.Atoi(os.Args[2])
	check(err)
	peers, err := strconv.Atoi(os.Args[3])
	check(err)
	pattern, last := os.Args[1], os.Args[4]
	if url, found := strings.CutPrefix(last, "far="); found {
		far(pattern, url, make([]byte, size), peers)
		return
	}
	seconds, err := strconv.ParseFloat(last, 64)
	check(err)
	rate := near(pattern, size, peers, time.Duration(seconds*float64(time.Second)))
	fmt.Printf(`{"pattern":%q,"transport":"tcp","size":%d,"peers":%d,"msgs_per_second":%.1f}`+"\n", pattern, size, peers, rate)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// serve is the server: it prints its address and runs until its input ends.
func serve() {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPending: 256 << 20})
	check(err)
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		log.Fatal("the server does not start")
	}
	fmt.Println(s.ClientURL())
	io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
}

// child starts another process of this program.
func child(args ...string) (out *bufio.Reader, end func()) {
	self, err := os.Executable()
	check(err)
	c := exec.Command(self, args...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	check(err)
	stdout, err := c.StdoutPipe()
	check(err)
	check(c.Start())
	return bufio.NewReader(stdout), func() {
		in.Close()
		c.Process.Kill()
		c.Wait()
	}
}

func connect(url string) *nats.Conn {
	nc, err := nats.Connect(url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Fatal(err) }))
	check(err)
	return nc
}

// near receives, or answers, and counts.
func near(pattern string, size, peers int, d time.Duration) (rate float64) {
	out, end := child("server")
	defer end()
	url, err := out.ReadString('\n')
	check(err)
	url = strings.TrimSpace(url)
	var count atomic.Int64
	subscribers := 1
	if pattern == "fanout" {
		subscribers = peers
	}
	for range subscribers {
		nc := connect(url)
		defer nc.Close()
		sub, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if len(m.Data) != size {
				log.Fatalf("message of %d bytes, want %d", len(m.Data), size)
			}
			if pattern == "requests" {
				check(m.Respond(m.Data))
			}
			count.Add(1)
		})
		check(err)
		check(sub.SetPendingLimits(-1, -1))
		check(nc.Flush())
	}
	_, endFar := child(pattern, strconv.Itoa(size), strconv.Itoa(peers), "far="+url)
	defer endFar()
	for count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(d / 10)
	start, before := time.Now(), count.Load()
	time.Sleep(d)
	return float64(count.Load()-before) / time.Since(start).Seconds()
}

// far publishes or asks for as long as it lives.
func far(pattern, url string, body []byte, peers int) {
	if pattern == "requests" {
		for range peers {
			nc := connect(url)
			go func() {
				for {
					_, err := nc.Request(subject, body, 10*time.Second)
					check(err)
				}
			}()
		}
		select {}
	}
	nc := connect(url)
	for {
		check(nc.Publish(subject, body))
	}
}
