package link

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// callers is a queue whose pump never comes when it is called, as where the processors are taken by goroutines that compute.
type callers struct {
	*queue
	sink *sink
}

// noPumps are those of a process in which none has come, whatever a bubble's clock shows.
func noPumps() *pumps {
	p := new(pumps)
	p.came.Store(math.MinInt64)
	return p
}

func newCallers(line *Line) callers {
	if line.pumps == nil {
		line.pumps = noPumps()
	}
	c := callers{newQueue(), &sink{room: -1}}
	c.Line = line
	c.Attach(NewConn(c.sink))
	c.rest()
	return c
}

// rest has the pump sleep, as if it had come at last.
func (c callers) rest() {
	c.mu.Lock()
	c.comeLocked()
	c.asleep = true
	c.mu.Unlock()
}

// send queues a message, in a row if there is one, and returns how many are left unwritten.
func (c callers) send() (left int) {
	m := [][]byte{[]byte("news")}
	if !c.AppendRow(m, len(m[0])) {
		if _, flush := c.AppendSole(m, len(m[0])); flush {
			c.Flush()
		}
	}
	left, _ = c.Depth()
	return left
}

// A sender that computes between its messages keeps its pump from the processor: it writes them itself, though they do not come one by one in time for that.
func TestAppend_WrittenByTheCallerWhenThePumpDoesNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(&Line{From: 2})
		assert.Equal(t, 1, c.send(), "the pump is called")
		time.Sleep(lateFrom - 1)
		assert.Equal(t, 2, c.send(), "and may be under way")
		time.Sleep(time.Nanosecond)
		assert.Equal(t, 3, c.send(), "in a row")
		assert.Zero(t, c.send(), "four, as the pump has not come")
		for range 10 {
			time.Sleep(2 * time.Millisecond)
			for range 3 {
				assert.Zero(t, c.send(), "one of a few")
			}
		}
		c.rest()
		time.Sleep(lateFor - 1)
		assert.Zero(t, c.send(), "the pump came too late")
		c.rest()
		time.Sleep(lateFor)
		assert.Equal(t, 1, c.send(), "it is called again")
	})
}

// What a sender writes because its pump is late is bounded where it sends many: large parts go out by one write.
func TestAppend_ManyAreLeftToAPumpThatDoesNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(&Line{From: 2})
		c.send()
		time.Sleep(lateFor)
		written := 0
		for range 10 * maxSpares {
			if c.send() == 0 {
				written++
			}
		}
		assert.Equal(t, maxSpares+1, written)
		time.Sleep(calmPause)
		left := c.send()
		for range 2 * left {
			left = min(left, c.send())
		}
		assert.Zero(t, left, "the next one, or as many again")
	})
}

// Where other pumps of the process come meanwhile, it is the messages that keep the processors busy: those go out together.
func TestAppend_LeftToAPumpThatOthersComeBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(&Line{From: 2})
		other := newCallers(&Line{From: 2, pumps: c.Line.pumps})
		other.send()
		assert.Equal(t, 1, c.send())
		time.Sleep(lateFrom)
		other.rest() // comes, late as it is
		for i := range 3 {
			time.Sleep(2 * time.Millisecond)
			assert.Equal(t, i+2, c.send())
		}
		c.rest()
		c.Flush()
		assert.Equal(t, 1, c.send(), "and it was not late when it came")
	})
}

// In a process with many connections it is these that keep the processors busy.
func TestAppend_LeftToAPumpAmongMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(&Line{From: 2})
		for range latePumps {
			newCallers(c.Line)
		}
		for i := range 4 {
			assert.Equal(t, i+1, c.send())
			time.Sleep(2 * time.Millisecond)
		}
	})
}

// A pump that comes in time leaves all as it was.
func TestAppend_LeftToAPumpThatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Line = &Line{From: 2, pumps: noPumps()}
		q.attach(&sink{room: -1})
		c := callers{queue: q}
		for range 10 {
			time.Sleep(lateFrom)
			synctest.Wait()
			assert.Equal(t, 1, c.send())
			assert.Equal(t, 2, c.send())
		}
		q.detach(true)
	})
}
