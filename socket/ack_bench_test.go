package socket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// BenchmarkAckedPull receives what a raw peer sends as fast as it can, without acknowledgements, and with them by each next message and by hand.
func BenchmarkAckedPull(b *testing.B) {
	for _, mode := range []string{"plain", "next", "manual"} {
		for _, size := range []int{100, 1024} {
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) {
				var opts []socket.Option
				if mode != "plain" {
					opts = append(opts, socket.WithAck(), socket.WithAckCredit(1<<30, 1<<40), socket.WithRecvHWM(0), socket.WithRecvHWMBytes(0))
				}
				if mode == "manual" {
					opts = append(opts, socket.WithManualAck())
				}
				pull := socket.NewPull(opts...)
				defer pull.Close()
				bound, err := pull.Bind("tcp://127.0.0.1:0")
				must(b, err)
				raw := sockettest.DialRaw(b, bound)
				raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				go io.Copy(io.Discard, raw.Conn()) // both end with the connection
				chunk := bytes.Repeat(zmtp.AppendFrame(nil, 0, make([]byte, size)), 64<<10/size)
				go func() {
					for {
						if _, err := raw.Conn().Write(chunk); err != nil {
							return
						}
					}
				}()
				ctx := context.Background()
				pass := func() {
					m, err := pull.Recv(ctx)
					must(b, err)
					if mode == "manual" {
						must(b, m.Ack())
					}
				}
				checkAllocs(b, 0.2, pass)
				b.SetBytes(int64(size))
				for b.Loop() {
					pass()
				}
				raw.Close()
			})
		}
	}
}
