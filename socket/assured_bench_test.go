package socket_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshmq/meshmq/socket"
)

// BenchmarkAssured is BenchmarkStream with and without acknowledgements, which cost a fifth at the most.
func BenchmarkAssured(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, acks := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/acks=%t", size, acks), func(b *testing.B) {
				var opts []socket.Option
				if acks {
					opts = append(opts, socket.WithAck())
				}
				ctx := context.Background()
				push, pull := socket.NewPush(opts...), socket.NewPull(opts...)
				defer push.Close()
				defer pull.Close()
				bound, err := pull.Bind("tcp://127.0.0.1:0")
				must(b, err)
				must(b, push.Connect(bound))
				must(b, push.WaitPeers(ctx, 1))
				body := make([]byte, size)
				send := func(n int) {
					for range n {
						if push.Send(ctx, body) != nil {
							return
						}
					}
				}
				var sent int
				checkAllocs(b, 0.2, func() { // messages of a batch share a chunk
					if sent == 0 {
						sent = 100
						go send(sent)
					}
					sent--
					_, err := pull.Recv(ctx)
					must(b, err)
				})
				go send(1 << 40)
				b.SetBytes(int64(size))
				for b.Loop() {
					_, err := pull.Recv(ctx)
					must(b, err)
				}
				if acks {
					b.ReportMetric(float64(push.Stats().Acks.AckedOut), "acked")
				}
			})
		}
	}
}
