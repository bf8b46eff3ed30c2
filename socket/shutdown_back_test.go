package socket_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// TestShutdown_ReceiversComeBack: a receiver whose connection ends while its sender shuts down connects again, to the endpoint that the sender listens at, for what it has not acknowledged.
func TestShutdown_ReceiversComeBack(t *testing.T) {
	t.Parallel()
	for _, keeps := range []string{"memory", "spool"} {
		for _, transport := range []string{"tcp", "inproc"} {
			t.Run(keeps+" "+transport, func(t *testing.T) {
				t.Parallel()
				options := []socket.Option{socket.WithAck()}
				if keeps == "spool" {
					options = append(options, socket.WithSpool(filepath.Join(t.TempDir(), "spool"), smallSpool))
				}
				push := socket.NewPush(options...)
				endpoint := "inproc://" + t.Name()
				if transport == "tcp" {
					endpoint = "tcp://127.0.0.1:0"
				}
				endpoint = bind(t, push, endpoint)
				receiver := func() *socket.Pull {
					pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), swift())
					require.NoError(t, pull.Connect(endpoint))
					return pull
				}
				pull := receiver()
				const n = 5
				for i := range n {
					send(t, push, strconv.Itoa(i))
				}
				recv(t, pull)
				over := make(chan error, 1)
				go func() { over <- push.Shutdown(limit(t)) }() // awaited below
				require.Eventually(t, func() bool { return len(push.Stats().Endpoints) == 0 }, sockettest.Timeout, time.Millisecond, "it has begun")
				require.NoError(t, pull.Close())

				pull = receiver()
				closing(t, pull)
				for i := range n {
					m := recv(t, pull)
					assert.Equal(t, strconv.Itoa(i), m.String())
					require.NoError(t, m.Ack())
				}
				require.NoError(t, <-over)
				next := socket.NewPush()
				closing(t, next)
				bind(t, next, endpoint)
			})
		}
	}
}
