// Command raw is what the machine and Go allow in the patterns of `meshmq bench`, without a protocol: it prints one JSON object like those of
// `meshmq bench --json`.
//
//	raw throughput|requests|router|channel SIZE SECONDS [PEERS]
//
// throughput are frames of a length and a body through a buffered writer of 256 KiB, read in place; requests is one such frame there and back at a time; router
// is that on many connections at once, with one goroutine that asks epoll on the near side (one for each connection where there is none) and four for all of them on the far side, each of
// which writes to all of its own and then reads from all, as the dealers of `meshmq bench` do. For these the far side is another process of the same program, over TCP on loopback. channel are slices through a Go channel of 1,000
// places, each a copy of what is sent, since Send copies, too.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"time"
)

// buffer is what is written and read at a time, header what precedes a body.
const (
	buffer = 256 << 10
	header = 4
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("raw: ")
	if len(os.Args) < 4 || len(os.Args) > 5 {
		log.Fatal("usage: raw throughput|requests|router|channel SIZE SECONDS [PEERS]")
	}
	peers := 1
	if len(os.Args) == 5 {
		var err error
		peers, err = strconv.Atoi(os.Args[4])
		check(err)
	}
	pattern := os.Args[1]
	size, err := strconv.Atoi(os.Args[2])
	check(err)
	switch pattern {
	case "push", "ask":
		far(pattern, os.Args[3], size)
	case "dealers":
		dealers(os.Args[3], size, peers)
	}
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	check(err)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // its heap is next to nothing, and what a socket does against that is missing here
	}
	router := func(size int, d time.Duration) float64 { return echo(size, peers, d) }
	near := map[string]func(int, time.Duration) float64{"throughput": receive, "requests": answer, "router": router, "channel": channel}[pattern]
	if near == nil {
		log.Fatalf("unknown pattern %q", pattern)
	}
	fmt.Printf(`{"pattern":%q,"size":%d,"msgs_per_second":%.1f}`+"\n", pattern, size, near(size, time.Duration(seconds*float64(time.Second))))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// meet starts the far side and returns the connection to it.
func meet(kind string, size int) (conn net.Conn, end func()) {
	conns, end := meetMany(kind, size, 1)
	return conns[0], end
}

func meetMany(kind string, size, peers int) (conns []net.Conn, end func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	self, err := os.Executable()
	check(err)
	other := exec.Command(self, kind, strconv.Itoa(size), l.Addr().String(), strconv.Itoa(peers))
	other.Stderr = os.Stderr
	check(other.Start())
	for range peers {
		conn, err := l.Accept()
		check(err)
		calm(conn)
		conns = append(conns, conn)
	}
	check(l.Close())
	return conns, func() {
		other.Process.Kill()
		other.Wait()
	}
}

func far(kind, address string, size int) {
	conn, err := net.Dial("tcp", address)
	check(err)
	calm(conn)
	frame := binary.BigEndian.AppendUint32(nil, uint32(size))
	frame = append(frame, make([]byte, size)...)
	if kind == "ask" {
		for {
			_, err := conn.Write(frame)
			check(err)
			_, err = io.ReadFull(conn, frame)
			check(err)
		}
	}
	for w := bufio.NewWriterSize(conn, buffer); ; {
		_, err := w.Write(frame[:header])
		check(err)
		_, err = w.Write(frame[header:])
		check(err)
	}
}

// receive counts frames. What a buffer holds is read where it is; only the frame at its end, if it is not whole, is moved.
func receive(size int, d time.Duration) (rate float64) {
	conn, end := meet("push", size)
	defer end()
	in := make([]byte, max(buffer, header+size))
	from, to := 0, 0
	next := func() {
		for {
			if have := in[from:to]; len(have) >= header {
				if n := header + int(binary.BigEndian.Uint32(have)); len(have) >= n {
					from += n
					return
				}
			}
			if from > 0 {
				from, to = 0, copy(in, in[from:to])
			}
			n, err := conn.Read(in[to:])
			check(err)
			to += n
		}
	}
	repeat(next, size, d/10)
	return repeat(next, size, d)
}

func answer(size int, d time.Duration) (rate float64) {
	conn, end := meet("ask", size)
	defer end()
	frame := make([]byte, header+size)
	one := func() {
		_, err := io.ReadFull(conn, frame)
		check(err)
		_, err = conn.Write(frame)
		check(err)
	}
	repeat(one, size, d/10)
	return repeat(one, size, d)
}

func channel(size int, d time.Duration) (rate float64) {
	bodies := make(chan []byte, 1000)
	go func() {
		for body := make([]byte, size); ; {
			bodies <- bytes.Clone(body)
		}
	}()
	one := func() { <-bodies }
	repeat(one, size, d/10)
	return repeat(one, size, d)
}

// repeat does one thing for a time and returns how often a second. It looks at the clock as seldom as `meshmq bench` does.
func repeat(one func(), size int, d time.Duration) (rate float64) {
	look := min(max(1, (64<<10)/(size+1)), 64)
	n := 0
	for start := time.Now(); ; {
		for range look {
			one()
		}
		n += look
		if took := time.Since(start); took >= d {
			return float64(n) / took.Seconds()
		}
	}
}
