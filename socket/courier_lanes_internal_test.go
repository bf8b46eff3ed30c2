package socket

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

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
		d := of(n + 1)
		_, free := c.lanes.admit(d)
		require.True(t, free)
		c.lanes.handed(d, m)
	}
	for n := range uint64(3) {
		c.lanes.back(n + 1)
	}
	one, two, three := of(1), of(2), of(3)
	_, free := c.lanes.admit(two)
	require.False(t, free, "1 is first")
	require.ErrorIs(t, c.park(two), errParked)
	_, free = c.lanes.admit(one)
	require.True(t, free)
	c.lanes.handed(one, m)
	c.free([]numbers{{1, 1}})
	_, free = c.lanes.admit(three)
	require.False(t, free, "2 is first")
	require.ErrorIs(t, c.park(three), errParked)
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

// TestLanes_KeysThatChange from one look to the next are the user's fault, and keep nothing from being delivered.
func TestLanes_KeysThatChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		looks := byte(0)
		k := newCourierTestFrom(t, log, from, evenRetry, func(c *courier) {
			c.choosy, c.lanes = true, newLanes(func([][]byte) []byte {
				looks++
				return []byte{looks % 3}
			})
		})
		k.send(200)
		peers := []*peerOf{newChoosyPeer(k.c, 3, 'm'), newChoosyPeer(k.c, 5, 'm')}
		for left := 200; left > 0; {
			synctest.Wait()
			for i, p := range peers {
				select {
				case d := <-p.got:
					if d.attempt <= i+1 {
						p.fail(d.number, failed, 0, "no")
					} else {
						p.settle(d.number)
						left--
					}
				default:
					time.Sleep(time.Second)
				}
			}
		}
		synctest.Wait()
		_, pending := k.ended()
		assert.Zero(t, pending)
		assert.Empty(t, k.c.lanes.byKey)
		assert.Empty(t, k.c.lanes.open)
	})
}
