package socket_test

import (
	"context"
	"testing"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// BenchmarkWindowedPull is BenchmarkAckedPull, next, 100 bytes, without a window and with one on disk: the difference is what a window costs per message.
func BenchmarkWindowedPull(b *testing.B) {
	for _, windowed := range []bool{false, true} {
		name, opts := "none", []socket.Option{socket.WithAck(), socket.WithAckCredit(1<<16, 1<<40), socket.WithRecvHWM(0), socket.WithRecvHWMBytes(0)}
		if windowed {
			name = "window"
		}
		b.Run(name, func(b *testing.B) {
			if windowed {
				opts = append(opts, socket.WithWindow(b.TempDir(), spool.WindowOptions{}))
			}
			pull, push := socket.NewPull(opts...), socket.NewPush(socket.WithAck(), socket.WithSendHWM(1<<17))
			defer pull.Close()
			bound, err := pull.Bind("tcp://127.0.0.1:0")
			must(b, err)
			must(b, push.Connect(bound))
			ctx, stop := context.WithCancel(context.Background())
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for body := make([]byte, 100); push.Send(ctx, body) == nil; {
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				_, err := pull.Recv(context.Background())
				must(b, err)
			}
			stop()
			<-sent
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = push.Shutdown(ended)
		})
	}
}
