package servertest

import (
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestBroken_Connection: a connection that its owner closes too early ends a spool that does nothing, too.
func TestBroken_Connection(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "orders", "", quick, 2)
	require.NoError(t, s.Flush(bounded(t)))
	nc.Close()
	select {
	case <-s.Broken():
		require.ErrorIs(t, s.State().Failed, nats.ErrConnectionClosed)
	case <-bounded(t).Done():
		require.Fail(t, "nobody is told")
	}
	require.NoError(t, s.Close())
}

// TestBroken: who waits for a spool is told when it fails, as by one on disk, and not when it is closed.
func TestBroken(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, closed := open(t, nc, "orders", quick), open(t, nc, "closed", quick)
	brokenOf := func(s any) <-chan struct{} {
		b, ok := s.(interface{ Broken() <-chan struct{} })
		require.True(t, ok)
		return b.Broken()
	}
	broken, whole := brokenOf(s), brokenOf(closed)
	changeStream(t, nc, "orders", func(c *natsjs.StreamConfig) { c.Subjects = []string{"elsewhere"} })
	select {
	case <-broken:
		require.ErrorIs(t, s.State().Failed, spool.ErrFailed)
	case <-bounded(t).Done():
		require.Fail(t, "nobody is told")
	}
	require.NoError(t, s.Close())
	require.NoError(t, closed.Close())
	select {
	case <-whole:
		require.Fail(t, "it has not failed")
	default:
	}
}
