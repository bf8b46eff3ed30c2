package link

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
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

// TestRest_OfASealedConnection ends by that clock as well: the runtime's timers would be a millisecond late.
func TestRest_OfASealedConnection(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	seal, open, _, _ := traffic(t)
	conn := NewSealedConn(near, seal, open, nil, 0)
	q := newQueue()
	q.attachTo(conn)
	for range 20 {
		q.burst(100)
		got := 0
		for buf := make([]byte, 64<<10); got < 100*(onWire+zmtp.SealedOverhead); {
			n, err := far.Read(buf)
			require.NoError(t, err)
			got += n
		}
	}
	q.mu.Lock()
	require.Nil(t, q.alarm)
	q.mu.Unlock()
	conn.Close()
	q.detach(false)
}
