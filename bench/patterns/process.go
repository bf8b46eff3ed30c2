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
	"syscall"
	"time"
)

// A contender is a process that calls or sends, its near side, which has started others that answer or receive, its far sides: each has a heap of its own, and so what
// Go does for one with much garbage, or this project for its receivers, is no gain of the next one. A side answers each number that it reads with a line, until its input
// ends; its first line is the address that it listens at, if it has one.
var sides = map[string]func(args []string, in *bufio.Scanner){nearSide: near, farSide: far}

const (
	nearSide = "near"
	farSide  = "far"
)

// fars are what runs on a far side. Each starts what lives as long as the process does, connects or listens, and returns the address that it listens at.
var fars = map[string]func(address string, peers int) string{
	"meshmq service":     serveMeshmq,
	"meshmq subscribers": subscribeMeshmq,
	"meshmq workers":     workMeshmq,
	"NATS server":        serverNATS,
	"NATS service":       serveNATS,
	"NATS subscribers":   subscribeNATS,
	"NATS workers":       workNATS,
	"gRPC service":       serveGRPC,
	"net/http service":   serveHTTP,
	"net/rpc service":    serveRPC,
}

// near is told how many nanoseconds a turn lasts, and answers with its figures.
func near(args []string, in *bufio.Scanner) {
	r := row{pattern: args[1], size: int(number(args[2])), peers: int(number(args[3]))}
	var s *stage
	for _, c := range contenders {
		if c.name == args[0] {
			s = c.open[r.pattern](r)
		}
	}
	fmt.Println()
	for in.Scan() {
		d := time.Duration(number(in.Text()))
		s.turn(r, d/5) // warms up
		f := s.turn(r, d)
		fmt.Println(f.rate, f.p50, f.p99, f.cpu)
	}
	for _, p := range s.far {
		p.end()
	}
}

// far is told how many events or jobs to wait for, and answers with its CPU time.
func far(args []string, in *bufio.Scanner) {
	fmt.Println(fars[args[0]](args[1], int(number(args[2]))))
	for in.Scan() {
		await(number(in.Text()))
		fmt.Println(int64(processors()))
	}
}

func number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	check(err)
	return n
}

// handled counts the events or jobs that this process has handled.
var handled atomic.Int64

// await returns when so many have been handled.
func await(n int64) {
	for begun := time.Now(); handled.Load() < n; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second { // what was sent in a turn takes seconds
			log.Fatalf("%d of %d were handled", handled.Load(), n)
		}
	}
}

// processors returns the CPU time of this process.
func processors() time.Duration {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// process is another process of this program.
type process struct {
	name    string
	address string // that it listens at
	in      io.WriteCloser
	out     *bufio.Reader
	cmd     *exec.Cmd
}

// start returns when the process is ready.
func start(args ...string) *process {
	self, err := os.Executable()
	check(err)
	p := &process{name: strings.Join(args, " "), cmd: exec.Command(self, args...)}
	p.cmd.Stderr = os.Stderr
	p.in, err = p.cmd.StdinPipe()
	check(err)
	out, err := p.cmd.StdoutPipe()
	check(err)
	check(p.cmd.Start())
	p.out = bufio.NewReader(out)
	p.address = p.line()
	return p
}

// startFar starts a far side of so many peers, which listens itself or connects to an address.
func startFar(name, address string, peers int) *process {
	return start(farSide, name, address, strconv.Itoa(peers))
}

func (p *process) line() string {
	line, err := p.out.ReadString('\n')
	if err != nil {
		log.Fatalf("%s: %v", p.name, err)
	}
	return strings.TrimSpace(line)
}

// ask sends a number and reads the answer.
func (p *process) ask(n int64, answer ...any) {
	_, err := fmt.Fprintln(p.in, n)
	check(err)
	_, err = fmt.Sscan(p.line(), answer...)
	check(err)
}

func (p *process) end() {
	check(p.in.Close())
	check(p.cmd.Wait())
}
