package socket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// A peer that is restarted again and again is connected to within the shortest pause each time.
func TestReconnect_PeerThatIsRestartedOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const shortest = 100 * time.Millisecond
		push := socket.NewPush(socket.WithReconnect(shortest, time.Hour))
		defer push.Close()
		endpoint := "inproc://" + t.Name()
		require.NoError(t, push.Connect(endpoint))
		for range 30 {
			pull := socket.NewPull()
			_, err := pull.Bind(endpoint)
			require.NoError(t, err)
			after(shortest)
			require.Len(t, pull.Peers(), 1)
			after(2 * shortest)
			require.NoError(t, pull.Close())
		}
	})
}
