package socket_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// curveOf are the options of a CURVE server and of a client of it.
func curveOf() (server, client socket.Option) {
	s := socket.NewKeyPair()
	return socket.WithCurveServer(s), socket.WithCurveClient(socket.NewKeyPair(), s.Public)
}

func TestCurve_DeliversInOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, size := range []int{8, 100, 250, 5000, 40000} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				server, client := curveOf()
				push, pull := socket.NewPush(client), socket.NewPull(server)
				join(t, transport, pull, push)
				n := min(5000, 5_000_000/size)
				go numbered(t, push, 0, n, size)
				for i := range n {
					m := recv(t, pull)
					require.Equal(t, i, ordinalOf(m))
					require.Equal(t, size, m.Size())
				}
			})
		}
	})
}

func TestCurve_Sizes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server, client := curveOf()
		req, rep := socket.NewReq(client), socket.NewRep(server)
		join(t, transport, rep, req)
		go func() {
			for m := range rep.Messages(limit(t)) {
				if rep.Send(limit(t), m.Frames...) != nil {
					return
				}
			}
		}()
		for _, size := range []int{0, 1, 222, 223, 224, 255, 256, 4096, 32767, 32768, 32769, 70000, 1 << 20, 5 << 20} {
			m, err := req.Request(limit(t), pattern(size, 1), []byte{}, pattern(size, 2))
			require.NoError(t, err)
			require.Len(t, m.Frames, 3)
			require.True(t, string(pattern(size, 1)) == string(m.Frames[0]), fmt.Sprint(size))
			require.True(t, string(pattern(size, 2)) == string(m.Frames[2]), fmt.Sprint(size))
		}
	})
}
