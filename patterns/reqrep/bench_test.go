package reqrep_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// payload is 100 bytes, as the cost of a call is stated for.
var payload = make([]byte, 100)

// BenchmarkBareReqRep is what BenchmarkCall is compared with: `go test -run '^$' -bench 'BareReqRep|Call$' -count 6 ./patterns/reqrep`.
func BenchmarkBareReqRep(b *testing.B) {
	rep := socket.NewRep()
	defer rep.Close()
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
	req := socket.NewReq()
	defer req.Close()
	require.NoError(b, req.Connect(addr))
	require.NoError(b, req.WaitPeers(b.Context(), 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := req.Request(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
	}
	rep.Close()
	serving.Wait()
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

// BenchmarkCall is one call after the other.
func BenchmarkCall(b *testing.B) {
	client := benchService(b)
	ctx := b.Context()
	one := func() {
		if _, err := reqrep.Call[[]byte, []byte](ctx, client, "echo", payload); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// BenchmarkCalls has so many calls on one client under way at a time, and reports calls per second: of elapsed time, and of CPU time, which a busy machine
// changes less. 10,000 must come to 0.7 of the best: `go test -run '^$' -bench Calls/ -benchtime 200000x ./patterns/reqrep`.
func BenchmarkCalls(b *testing.B) {
	for _, n := range []struct {
		name  string
		calls int
	}{{"16", 16}, {"64", 64}, {"256", 256}, {"1000", 1000}, {"10000", 10000}} {
		b.Run(n.name, func(b *testing.B) {
			client := benchService(b)
			ctx := b.Context()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime()
			var callers sync.WaitGroup
			for range n.calls {
				callers.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := reqrep.Call[[]byte, []byte](ctx, client, "echo", payload); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
