package socket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What was sent to a peer stays counted while it leaves.
func TestStats_CountersNeverFall(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter()
	closing(t, router)
	endpoint := bind(t, router, "inproc://"+t.Name())
	stop, ended := make(chan struct{}), make(chan uint64)
	go func() {
		var most, fell uint64
		for {
			n := router.Stats().MessagesOut
			if n < most {
				fell++
			}
			most = max(most, n)
			select {
			case <-stop:
				ended <- fell
				return
			default:
			}
		}
	}()
	const peers = 500
	for range peers {
		dealer := socket.NewDealer()
		require.NoError(t, dealer.Connect(endpoint))
		require.NoError(t, dealer.Send(t.Context(), []byte("hello")))
		msg, err := router.Recv(t.Context())
		require.NoError(t, err)
		require.NoError(t, router.Send(t.Context(), msg.Frames...))
		_, err = dealer.Recv(t.Context())
		require.NoError(t, err)
		require.NoError(t, dealer.Close())
	}
	close(stop)
	require.Zero(t, <-ended)
	require.EqualValues(t, peers, router.Stats().MessagesOut)
}
