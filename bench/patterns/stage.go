package main

import (
	"log"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Order is what is called with, published and handed to workers. net/rpc wants an exported name.
type Order struct {
	Item  string
	Count int
	Data  []byte
}

// Names of what is called, published and sent.
const (
	method      = "orders.create"
	topic       = "orders.eu.created"
	topics      = "orders.*.created"
	topicOfJobs = "orders.pack"
)

// stage is a contender that is ready for a row: its far side has started and both are connected.
type stage struct {
	call  func(o Order) Order // returns the answer
	send  func(o Order)       // of events and jobs
	flush func()              // what was sent; nil: it goes by itself
	far   []*process          // the first of them handles what is sent
	sent  int64               // so far, and to be handled: an event counts for each subscriber
}

// turn measures for so long.
func (s *stage) turn(r row, d time.Duration) figures {
	data := make([]byte, r.size)
	for i := range data {
		data[i] = byte(7 * i)
	}
	if r.pattern == calls {
		return s.calls(data, r.peers, d)
	}
	each := int64(1)
	if r.pattern == events {
		each = int64(r.peers)
	}
	return s.flow(data, each, d)
}

// cpu returns the CPU time of all processes, when all that was sent is handled.
func (s *stage) cpu() (all time.Duration) {
	for i, p := range s.far {
		var wait, used int64
		if i == 0 {
			wait = s.sent
		}
		p.ask(wait, &used)
		all += time.Duration(used)
	}
	return all + processors()
}

// calls has so many callers call, one call after the other.
func (s *stage) calls(data []byte, callers int, d time.Duration) figures {
	took := make([]*hdrhistogram.Histogram, callers)
	for i := range took {
		took[i] = hdrhistogram.New(1, int64(time.Minute), 2) // a hundredth is exact enough, and small beside what the contenders have on the heap
	}
	var all sync.WaitGroup
	before, begun := s.cpu(), time.Now()
	for _, of := range took {
		all.Go(func() {
			for n := 0; time.Since(begun) < d; n++ {
				called := time.Now()
				if answer := s.call(Order{Item: "tea", Count: n, Data: data}); answer.Count != n || len(answer.Data) != len(data) {
					log.Fatalf("%d and %d bytes came back, want %d and %d", answer.Count, len(answer.Data), n, len(data))
				}
				check(of.RecordValue(int64(time.Since(called))))
			}
		})
	}
	all.Wait()
	elapsed := time.Since(begun)
	used := s.cpu() - before
	for _, of := range took[1:] {
		took[0].Merge(of)
	}
	f := perMessage(took[0].TotalCount(), elapsed, used)
	f.p50, f.p99 = float64(took[0].ValueAtQuantile(50))/1e3, float64(took[0].ValueAtQuantile(99))/1e3
	return f
}

// flow sends what is handled so many times each, and waits until it is.
func (s *stage) flow(data []byte, each int64, d time.Duration) figures {
	n, before, begun := 0, s.cpu(), time.Now()
	for ; n%64 != 0 || time.Since(begun) < d; n++ { // a look at the clock is no part of a message
		s.send(Order{Item: "tea", Count: n, Data: data})
	}
	if s.flush != nil {
		s.flush()
	}
	s.sent += int64(n) * each
	after := s.cpu()
	return perMessage(int64(n)*each, time.Since(begun), after-before)
}

func perMessage(n int64, elapsed, used time.Duration) figures {
	return figures{rate: float64(n) / elapsed.Seconds(), cpu: float64(used) / 1e3 / float64(n)}
}
