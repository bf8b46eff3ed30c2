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
