package socket_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshmq/meshmq/socket"
)

// BenchmarkProxy passes one message after another through a streamer.
func BenchmarkProxy(b *testing.B) {
	for _, size := range []int{16, 1024, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ctx := context.Background()
			front, back := socket.NewPull(), socket.NewPush()
			push, pull := socket.NewPush(), socket.NewPull()
			for _, pair := range [][2]connector{{front, push}, {pull, back}} {
				bound, err := pair[0].Bind("tcp://127.0.0.1:0")
				must(b, err)
				must(b, pair[1].Connect(bound))
				defer pair[0].Close()
				defer pair[1].Close()
			}
			p := socket.NewProxy(front, back)
			ended := make(chan error)
			go func() { ended <- p.Run(ctx) }()
			body := make([]byte, size)
			pass := func() {
				must(b, push.Send(ctx, body))
				m, err := pull.Recv(ctx)
				must(b, err)
				m.Release()
			}
			if size < 1<<20 { // large ones take too long to be counted
				checkAllocs(b, 0.5, pass) // a chunk for each ten reads or so on both ways, and slices of frames
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				pass()
			}
			p.Terminate()
			must(b, <-ended)
		})
	}
}
