package socket_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What is left when a receiver has nothing to return is told soon, be there more to come or not.
func TestAck_AfterAStream(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	for _, acked := range []string{"900", "1800", "2700"} {
		const n = 900
		together(raw, tenths(n)...)
		arrive(t, pull, n)
		for range n {
			recv(t, pull)
		}
		_, err := pull.Recv(try())
		require.ErrorIs(t, err, context.Canceled)
		expectAck(t, raw, acked)
	}
}
