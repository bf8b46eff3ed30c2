package socket

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestDurable_WantedAgain: a topic that is subscribed to in the moment in which a message of it is passed over. It is received; to acknowledge it would lose it.
func TestDurable_WantedAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pub := NewPub(WithSpool(filepath.Join(t.TempDir(), "log"), spool.Options{SegmentSize: 64 << 10}))
	defer pub.Close()
	endpoint, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	sub := NewSub(WithDurable("team", spool.Beginning()))
	defer sub.Close()
	wants, before := sub.receiver.wanted, true
	sub.receiver.wanted = func(topic []byte) bool { // receiver.mu is held
		if before {
			before = false
			return false
		}
		return wants(topic)
	}
	require.NoError(t, sub.Subscribe("t"))
	require.NoError(t, sub.Connect(endpoint))
	require.NoError(t, pub.Send(ctx, []byte("t"), []byte("message")))
	m, err := sub.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "message", string(m.Frames[1]))
	require.False(t, before)
}
