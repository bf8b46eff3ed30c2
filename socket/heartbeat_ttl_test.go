package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// ZMQ_HEARTBEAT_TTL: what a PING asks of the peer, rounded up to tenths of a second.
func TestHeartbeatTTL_OnTheWire(t *testing.T) {
	for ttl, wire := range map[time.Duration]string{
		0: "00 00", 1001 * time.Millisecond: "00 0b", 7 * time.Second: "00 46", 65500 * time.Millisecond: "02 8f",
	} {
		t.Run(ttl.String(), func(t *testing.T) {
			beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				raw.Expect("04 0f 04 'PING'" + wire)
			}, socket.WithHeartbeat(time.Second, 24*time.Hour), socket.WithHeartbeatTTL(ttl))
		})
	}
}

func TestHeartbeatTTL_Bounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts []socket.Option
		want string
	}{
		"negative":      {[]socket.Option{socket.WithHeartbeatTTL(-1)}, "WithHeartbeatTTL(-1ns): want 0 (none) to 1m5.5s"},
		"too long":      {[]socket.Option{socket.WithHeartbeatTTL(65501 * time.Millisecond)}, "WithHeartbeatTTL(1m5.501s): want 0 (none) to 1m5.5s"},
		"no interval":   {[]socket.Option{socket.WithHeartbeatTTL(time.Second), socket.WithHeartbeat(0, 0)}, "WithHeartbeatTTL(1s): nothing carries it"},
		"like interval": {[]socket.Option{socket.WithHeartbeatTTL(10 * time.Second)}, "WithHeartbeatTTL(10s): want more than the interval of WithHeartbeat, 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			pull := socket.NewPull(c.opts...)
			closing(t, pull)
			_, err := pull.Bind("inproc://" + t.Name())
			require.ErrorIs(t, err, socket.ErrOption)
			assert.ErrorContains(t, err, c.want)
		})
	}
	for _, opts := range [][]socket.Option{
		{socket.WithHeartbeatTTL(0), socket.WithHeartbeat(0, 0)},
		{socket.WithHeartbeatTTL(11 * time.Second)},
		{socket.WithHeartbeat(time.Second, time.Minute), socket.WithHeartbeatTTL(1001 * time.Millisecond)},
	} {
		pull := socket.NewPull(opts...)
		closing(t, pull)
		bind(t, pull, "tcp://127.0.0.1:0")
	}
}
