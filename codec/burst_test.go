package codec

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drawn is what draw returned.
type drawn struct {
	id ID
	at time.Time
}

func (c *bursts) next() drawn {
	stamp, timestamp := c.draw()
	return drawn{makeID(stamp, 0), timeOf(timestamp)}
}

// calm runs f by a clock of its own while nobody else draws IDs: it is for tests that are not parallel.
func calm(t *testing.T, f func(t *testing.T, c *bursts)) {
	newest := lastStamp.Swap(0) // the clock of f is behind
	defer lastStamp.Store(newest)
	synctest.Test(t, func(t *testing.T) {
		var c bursts
		time.Sleep(time.Second)
		f(t, &c)
		time.Sleep(burstAge) // nothing is left of it
		synctest.Wait()
		require.False(t, c.timed.Load())
		require.Nil(t, c.current.Load())
	})
}

// Where messages follow each other a burst begins, of which all bear one time. It ends after so many messages.
func TestMessagesOfABurstShareATime(t *testing.T) {
	calm(t, func(t *testing.T, c *bursts) {
		c.next()
		time.Sleep(time.Microsecond)
		began := time.Now()
		last := c.next()
		assert.True(t, began.Equal(last.at), "the first is exact")
		time.Sleep(burstAge - 1)
		for range burstMessages - 1 {
			d := c.next()
			require.Positive(t, bytes.Compare(d.id[:], last.id[:]))
			require.True(t, began.Equal(d.at))
			last = d
		}
		d := c.next()
		assert.True(t, time.Now().Equal(d.at), "the one behind is exact")
		assert.Positive(t, bytes.Compare(d.id[:], last.id[:]))
	})
}

// A burst ends by itself, and where messages do not follow each other closely none begins.
func TestTimeIsExactBeyondBursts(t *testing.T) {
	calm(t, func(t *testing.T, c *bursts) {
		c.next()
		c.next()
		require.NotNil(t, c.current.Load())
		time.Sleep(burstAge)
		synctest.Wait()
		assert.True(t, time.Now().Equal(c.next().at), "its time is over")
		for range 3 {
			time.Sleep(5 * time.Microsecond)
			assert.True(t, time.Now().Equal(c.next().at))
			assert.Nil(t, c.current.Load(), "messages are too far apart")
		}
	})
}

// Whoever draws beside others gets IDs that are nobody else's, in order.
func TestBurstsBesideEachOther(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 5000
	lists := make([][]drawn, workers)
	var c bursts
	var drawing sync.WaitGroup
	for w := range lists {
		drawing.Go(func() {
			for range each {
				lists[w] = append(lists[w], c.next())
			}
		})
	}
	drawing.Wait()
	seen := make(map[ID]bool)
	for _, list := range lists {
		assert.True(t, slices.IsSortedFunc(list, func(a, b drawn) int { return bytes.Compare(a.id[:], b.id[:]) }))
		for _, d := range list {
			seen[d.id] = true
		}
	}
	assert.Len(t, seen, workers*each)
}
