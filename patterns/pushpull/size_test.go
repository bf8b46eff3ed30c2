package pushpull_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// smallLimits are the two ways to take 2000 bytes at most.
var smallLimits = map[string]patterns.Option{
	"message": patterns.WithSocketOptions(socket.WithMaxMessageSize(2000)), "frame": patterns.WithSocketOptions(socket.WithMaxFrameSize(2000)),
}

// What no worker takes is an error to its sender, and costs neither the connection nor what goes before and behind it.
func TestTooLarge_IsTold(t *testing.T) {
	t.Parallel()
	for name, limit := range smallLimits {
		for mode, common := range map[string][]patterns.Option{"plain": nil, "acknowledged": {patterns.WithAtLeastOnce()}} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				hook, errs := errorHook()
				p, w := pair(t, common, append(common, limit, hook))
				got := make(chan int, 3)
				run(t, w, func(_ context.Context, o Order) error { got <- len(o.Item); return nil })
				require.NoError(t, p.WaitPeers(within(t), 1))
				for _, size := range []int{100, 3000, 101} {
					err := p.Send(within(t), Order{Item: strings.Repeat("x", size)})
					if size < 2000 {
						require.NoError(t, err)
						assert.Equal(t, size, <-got)
						continue
					}
					require.ErrorIs(t, err, socket.ErrTooLarge)
					require.ErrorContains(t, err, "takes at most 2000")
				}
				assert.Zero(t, p.Stats().Peers[0].Reconnects)
				assert.Empty(t, errs)
				require.NoError(t, w.Shutdown(within(t)))
				assert.Equal(t, patterns.Counts{Handled: 2}, w.Counts())
			})
		}
	}
}

// Of a sender that does not ask what is taken the worker tells, and counts, that it lost a message with the connection; and goes on.
func TestTooLarge_FromOthers(t *testing.T) {
	t.Parallel()
	for name, limit := range smallLimits {
		for mode, opts := range map[string][]patterns.Option{
			"alone": nil, "several at a time": {patterns.WithConcurrency(3)}, "in order": {patterns.WithKeyOrder(patterns.KeyOrder{})},
		} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				hook, errs := errorHook()
				w := pushpull.NewWorker[[]byte](append(opts, limit, hook)...)
				at, err := w.Bind("tcp://127.0.0.1:0")
				require.NoError(t, err)
				got, ended := make(chan int, 3), make(chan error, 2)
				for range 2 { // which tell it once
					go func() {
						ended <- w.Run(context.Background(), func(_ context.Context, b []byte) error { got <- len(b); return nil })
					}()
				}
				other, another := socket.NewPush(), socket.NewPush()
				require.NoError(t, other.Connect(at))
				require.NoError(t, other.Send(within(t), make([]byte, 3000)))
				told := <-errs
				require.ErrorIs(t, told, socket.ErrTooLarge)
				require.ErrorContains(t, told, "receive from 127.0.0.1:")
				require.NoError(t, another.Connect(at))
				require.NoError(t, another.Send(within(t), sealed(t, codec.Envelope{Codec: "raw", Body: make([]byte, 101)})))
				assert.Equal(t, 101, <-got)
				require.NoError(t, errors.Join(other.Close(), another.Close()))
				require.NoError(t, w.Shutdown(within(t)))
				require.NoError(t, <-ended)
				require.NoError(t, <-ended)
				assert.Empty(t, errs)
				assert.Equal(t, patterns.Counts{Handled: 1, Malformed: 1}, w.Counts())
			})
		}
	}
}
