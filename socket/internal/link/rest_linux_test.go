package link

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRest_ByTheSystemsClock: of connections of the system's.
func TestRest_ByTheSystemsClock(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	q := newQueue()
	q.attach(near)
	for range 20 {
		q.burst(100)
		got := 0
		for buf := make([]byte, 64<<10); got < 100*onWire; {
			n, err := far.Read(buf)
			require.NoError(t, err)
			got += n
		}
		require.Equal(t, 100*onWire, got)
	}
	near.Close()
	q.detach(false)
}
