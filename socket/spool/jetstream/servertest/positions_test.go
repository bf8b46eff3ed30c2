package servertest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestPositionsInTraffic: what consumers say is written while they go on, without a pause.
func TestPositionsInTraffic(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	s := open(t, nc, "orders", quick)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	_, err = s.Append(bounded(t), []byte("message"))
	require.NoError(t, err)
	require.NoError(t, s.Flush(bounded(t)))
	state, err := js.Stream(bounded(t), "orders_state")
	require.NoError(t, err)
	before := state.CachedInfo().State.LastSeq
	var busy sync.WaitGroup
	var done atomic.Bool
	busy.Go(func() { // ends with done
		for !done.Load() {
			_, err := c.Fail(1)
			assert.NoError(t, err)
		}
	})
	assert.Eventually(t, func() bool {
		info, err := state.Info(context.Background())
		return err == nil && info.State.LastSeq >= before+20
	}, time.Minute, 20*time.Millisecond, "nothing is written")
	done.Store(true)
	busy.Wait()
}

// TestPositions_DoubtBesideFlush: what might pass ends a spool after seconds, not at once because somebody waits in Flush meanwhile.
func TestPositions_DoubtBesideFlush(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s := open(t, nc, "orders", quick)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	_, err = s.Append(bounded(t), []byte("message"))
	require.NoError(t, err)
	require.NoError(t, s.Flush(bounded(t)))
	changeStream(t, nc, "orders_state", func(c *natsjs.StreamConfig) { c.MaxMsgSize = 1 })
	require.NoError(t, c.Ack(1, 1))
	ctx, cancel := context.WithTimeout(bounded(t), 300*time.Millisecond) // ten looks take seconds
	defer cancel()
	require.ErrorIs(t, s.Flush(ctx), context.DeadlineExceeded)
	require.NoError(t, s.State().Failed)
	changeStream(t, nc, "orders_state", func(c *natsjs.StreamConfig) { c.MaxMsgSize = -1 })
	require.NoError(t, s.Flush(bounded(t)))
}
