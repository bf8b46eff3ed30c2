package socket

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/inplace"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Messages that are made in the queue arrive among those of Send, in the order of each sender, and count as they do.
func TestInPlace(t *testing.T) {
	t.Parallel()
	const senders, each = 3, 3000
	push, pull := batching(t)
	ctx := sockettest.Limit(t)
	at := inplace.Of(push)
	var sending sync.WaitGroup
	filled := make([]int, senders)
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				body := fmt.Appendf(nil, "%d %d", s, i)
				room, to := at.Lend()
				switch {
				case room == nil:
					assert.NoError(t, push.Send(ctx, body))
				case i%10 == 0:
					to.Fill(-1)
					assert.NoError(t, push.Send(ctx, body))
				default:
					to.Fill(copy(room, body))
					filled[s]++
				}
			}
		})
	}
	var next [senders]int
	for range senders * each {
		m, err := pull.Recv(ctx)
		require.NoError(t, err)
		var s, i int
		_, err = fmt.Sscan(m.String(), &s, &i)
		require.NoError(t, err)
		require.Equal(t, next[s], i)
		next[s]++
	}
	sending.Wait()
	assert.Positive(t, filled[0]+filled[1]+filled[2])
	in, out := pull.Stats(), push.Stats()
	assert.EqualValues(t, senders*each, out.MessagesOut)
	assert.Equal(t, in.BytesIn, out.BytesOut)
}

// Nothing is lent where Send has more to do than to queue a short message.
func TestInPlace_OnlyWhereSendDecidesNothing(t *testing.T) {
	t.Parallel()
	lends := func(push *Push) bool {
		for range 300 {
			require.NoError(t, push.Send(sockettest.Limit(t), []byte("message")))
			if room, to := inplace.Of(push).Lend(); room != nil {
				to.Fill(-1)
				return true
			}
		}
		return false
	}
	sole, _ := batching(t)
	assert.True(t, lends(sole))
	_ = sole.Close() // which says what was not sent
	room, _ := inplace.Of(sole).Lend()
	assert.Nil(t, room, "closed")

	two, _ := batching(t)
	_, other := batching(t)
	require.NoError(t, two.Connect(other.Stats().Endpoints[0]))
	assert.False(t, lends(two), "there are two peers")

	bounded := NewPush(WithLinger(0), WithMaxMessageSize(254))
	t.Cleanup(func() { _ = bounded.Close() }) // which says what was not sent
	require.NoError(t, bounded.Connect(other.Stats().Endpoints[0]))
	assert.False(t, lends(bounded), "some that fit are too large to be sent")
}
