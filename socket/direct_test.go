package socket_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Callers of Recv who read themselves for long, and then do something else, keep a PING waiting for a tenth of a second at most, and where
// acknowledgements may come that way no longer than those who have just begun.
func TestRecv_BusyAfterReading(t *testing.T) {
	for name, c := range map[string]struct {
		opts []socket.Option
		most time.Duration
	}{
		"plain":        {nil, 100 * time.Millisecond},
		"acknowledged": {[]socket.Option{socket.WithAck()}, 40 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				for range 50 {
					got := make(chan error, 1)
					go func() {
						_, err := pull.Recv(context.Background())
						got <- err
					}()
					synctest.Wait() // it reads, or waits
					raw.SendMessage("x")
					require.NoError(t, <-got)
					after(10 * time.Millisecond)
				}
				start := time.Now()
				raw.SendCommand("PING", []byte{0, 0})
				raw.Expect("04 05 04 'PONG'")
				assert.LessOrEqual(t, time.Since(start), c.most)
				assert.Empty(t, ev.of(socket.Disconnected))
			}, append(c.opts, socket.WithHeartbeat(0, 0))...)
		})
	}
}
