package socket

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestLanes_ReturnInAnyOrder: what came back is handed out in its order whichever is due first, and nothing stays parked when nothing is open.
func TestLanes_ReturnInAnyOrder(t *testing.T) {
	t.Parallel()
	c := &courier{lanes: newLanes(nil)}
	m := c.member(nil)
	of := func(number uint64) *delivery {
		return &delivery{number: number, attempt: 1, frames: [][]byte{[]byte("key")}}
	}
	for n := range uint64(3) {
		_, free := c.lanes.admit(of(n + 1))
		require.True(t, free)
		c.lanes.handed(of(n+1), m)
	}
	for n := range uint64(3) {
		c.lanes.back(n + 1)
	}
	_, free := c.lanes.admit(of(2))
	require.False(t, free, "1 is first")
	require.ErrorIs(t, c.park(of(2)), errParked)
	_, free = c.lanes.admit(of(1))
	require.True(t, free)
	c.lanes.handed(of(1), m)
	c.free([]numbers{{1, 1}})
	_, free = c.lanes.admit(of(3))
	require.False(t, free, "2 is first")
	require.ErrorIs(t, c.park(of(3)), errParked)
	c.resume()
	require.Len(t, c.ready, 2)
	assert.Equal(t, [2]uint64{2, 3}, [2]uint64{c.ready[0].number, c.ready[1].number})
	assert.Empty(t, c.lanes.byKey)
	assert.Empty(t, c.lanes.open)
	assert.Zero(t, c.lanes.parked)
}

// TestLanes_NothingGetsTheRoomOfWhatIsRefused: while a message comes back nothing is handed out, so that no later one of its key goes in its room before it is known to be back.
func TestLanes_NothingGetsTheRoomOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	c := &courier{wake: make(chan struct{}, 1), flying: 1}
	m := c.member(nil)
	m.giveBack(func() (returned, bool) { return returned{}, false })
	assert.Empty(t, c.returned)
	assert.Equal(t, 1, c.flying)
	m.giveBack(func() (returned, bool) {
		if !assert.False(t, c.mu.TryLock(), "somebody can hand out") {
			c.mu.Unlock()
		}
		return returned{number: 1}, true
	})
	assert.Equal(t, []returned{{number: 1}}, c.returned)
	assert.Zero(t, c.flying)
}

// smallPeer takes no large messages.
type smallPeer struct{ *peerOf }

func (p smallPeer) refuses(e extent) error {
	if e.size > 100 {
		return ErrTooLarge
	}
	return nil
}

// TestLanes_TooLargeForWhoHasTheKey is no failed delivery: when that member is done with it, another gets the message.
func TestLanes_TooLargeForWhoHasTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		k := newCourierTestFrom(t, log, from, evenRetry, func(c *courier) {
			c.choosy, c.lanes = true, newLanes(func([][]byte) []byte { return nil })
		})
		small := &peerOf{credit: 10, got: make(chan delivery, 10)}
		small.m = k.c.member(smallPeer{small})
		small.m.wants = func([]byte) bool { return true }
		small.m.join()
		k.send(1)
		require.Equal(t, uint64(1), small.next(t).number)
		large := newChoosyPeer(k.c, 10, 'm')
		_, err := log.Append(t.Context(), bytes.Repeat([]byte("m"), 1000))
		require.NoError(t, err)
		k.send(1)
		synctest.Wait()
		require.Empty(t, large.got)
		small.settle(1)
		require.Equal(t, []uint64{2, 3}, large.numbers(t, 2))
		assert.Zero(t, k.c.counted().failed)
		assert.Empty(t, small.got)
	})
}
