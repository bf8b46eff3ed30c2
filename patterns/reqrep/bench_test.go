package reqrep_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// payload is 100 bytes, as the cost of a call is stated for.
var payload = make([]byte, 100)

// bareRequest returns what makes a request of the sockets below and waits for its answer.
func bareRequest(b *testing.B) (one func()) {
	rep := socket.NewRep()
	addr, err := rep.Bind("tcp://127.0.0.1:0")
	require.NoError(b, err)
	var serving sync.WaitGroup
	serving.Go(func() { // ended by Close
		for {
			m, err := rep.Recv(context.Background())
			if err != nil || rep.Send(context.Background(), m.Frames...) != nil {
				return
			}
		}
	})
	b.Cleanup(func() { rep.Close(); serving.Wait() })
	req := socket.NewReq()
	b.Cleanup(func() { req.Close() })
	require.NoError(b, req.Connect(addr))
	require.NoError(b, req.WaitPeers(b.Context(), 1))
	return func() {
		if _, err := req.Request(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareReqRep is what BenchmarkCall is compared with.
func BenchmarkBareReqRep(b *testing.B) {
	one := bareRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// BenchmarkLatency compares calls to requests of the sockets below, in turns, one after the other: x-of-bare is how many times as long the fastest hundred
// calls take as the fastest hundred requests, and what the CPU does for all. The fastest are those that others on the machine disturb least.
// `go test -run '^$' -bench Latency -benchtime 300x ./patterns/reqrep`; want at most 1.3.
func BenchmarkLatency(b *testing.B) {
	const batch = 100
	call, request := oneCall(b), bareRequest(b)
	var calls, requests fastest
	for b.Loop() {
		requests.run(batch, request)
		calls.run(batch, call)
	}
	ratio := float64(calls.took) / float64(requests.took)
	if ratio > absurd {
		b.Fatalf("a call takes %.1f times as long as a bare request, want at most %d", ratio, absurd)
	}
	if ratio := float64(calls.cpu) / float64(requests.cpu); ratio > dear && calls.cpu > time.Second/10 {
		b.Fatalf("a call takes %.1f times the processor time of a bare request, want at most %d", ratio, dear)
	}
	b.ReportMetric(ratio, "x-of-bare")
	b.ReportMetric(float64(calls.cpu)/float64(requests.cpu), "cpu-x-of-bare")
	b.ReportMetric(float64(calls.took.Nanoseconds())/batch, "ns/call")
	b.ReportMetric(float64(requests.took.Nanoseconds())/batch, "ns/bare")
	b.ReportMetric(float64(calls.cpu.Nanoseconds())/float64(b.N)/batch, "cpu-ns/call")
}

// absurd is how many times as long as a bare request no call takes, whatever else the machine does: it is 1.2 on a quiet one.
const absurd = 5

// dear is how many times the processor time of a bare request no call takes, which others on the machine change less: it is 1.2 to 1.3, over a tenth of a second or more.
const dear = 2

// fastest is how long the fastest of several runs took, and the CPU time of all.
type fastest struct{ took, cpu time.Duration }

func (f *fastest) run(n int, one func()) {
	cpu, began := cpuTime(), time.Now()
	for range n {
		one()
	}
	if took := time.Since(began); f.took == 0 || took < f.took {
		f.took = took
	}
	f.cpu += cpuTime() - cpu
}

// benchService answers with what it gets.
func benchService(b *testing.B, opts ...patterns.Option) (client *reqrep.Client) {
	s := reqrep.NewService(opts...)
	addr, err := s.Bind("tcp://127.0.0.1:0")
	require.NoError(b, err)
	require.NoError(b, reqrep.Handle(s, "echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil }))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended and awaited in the cleanup
	b.Cleanup(func() { s.Close(); require.NoError(b, <-ended) })
	client = reqrep.NewClient()
	b.Cleanup(func() { client.Close() })
	require.NoError(b, client.Connect(addr))
	require.NoError(b, client.WaitPeers(b.Context(), 1))
	return client
}

// oneCall returns what makes a call and waits for its answer.
func oneCall(b *testing.B) (one func()) {
	client := benchService(b)
	ctx := b.Context()
	return func() {
		if _, err := reqrep.Call[[]byte, []byte](ctx, client, "echo", payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is one call after the other.
func BenchmarkCall(b *testing.B) {
	one := oneCall(b)
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// BenchmarkCalls has so many calls on one client under way at a time, and reports calls per second: of elapsed time, and of CPU time, which a busy machine
// changes less. 10,000 must come to 0.7 of the best: `go test -run '^$' -bench Calls/ -benchtime 200000x ./patterns/reqrep`. It fails when, by CPU time, they
// come to less than half of that, beside 1,000, which are about the best.
func BenchmarkCalls(b *testing.B) {
	for _, n := range []struct {
		name  string
		calls int
	}{{"16", 16}, {"64", 64}, {"256", 256}, {"1000", 1000}, {"10000", 10000}} {
		b.Run(n.name, func(b *testing.B) {
			client := benchService(b)
			if n.calls == 10_000 && b.N > 1 { // not at the first run as well, which every benchmark has
				const wanted = 0.7
				if ratio := rateOf(b, client, n.calls, 1000); ratio < wanted/2 {
					b.Fatalf("%d calls at a time have %.2f of the rate of 1000, want at least %.2f", n.calls, ratio, wanted/2)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime()
			callsAtOnce(b, client, n.calls, b.N)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// rateOf returns what part of the rate of few callers many have, by CPU time, in turns.
func rateOf(b *testing.B, client *reqrep.Client, many, few int) float64 {
	const passes, turns = 20_000, 2
	callsAtOnce(b, client, many, many) // for which there is memory from then on
	var with, without fastest
	for range turns {
		without.run(1, func() { callsAtOnce(b, client, few, passes) })
		with.run(1, func() { callsAtOnce(b, client, many, passes) })
	}
	return float64(without.cpu) / float64(with.cpu)
}

// callsAtOnce makes calls by so many callers, and returns when all are answered.
func callsAtOnce(b *testing.B, client *reqrep.Client, callers, calls int) {
	ctx := b.Context()
	var left atomic.Int64
	left.Store(int64(calls))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := reqrep.Call[[]byte, []byte](ctx, client, "echo", payload); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
