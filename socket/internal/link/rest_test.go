package link

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// restful is a queue on a connection that takes everything, and its pump.
func restful(line *Line) (*queue, *sink) {
	q, s := newQueue(), &sink{room: -1}
	q.Line = line
	q.attach(s)
	return q, s
}

func (s *sink) bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// burst queues messages of 1 KiB, and writes them where that is asked.
func (q *queue) burst(n int) {
	for range n {
		if _, flush := q.Append(nil, [][]byte{make([]byte, 1<<10)}, 1<<10); flush {
			q.Flush()
		}
	}
}

const onWire = 1<<10 + 9

// TestRest_TheEndOfABurst is written after short rests, not before; however many bursts there were before.
func TestRest_TheEndOfABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, s := restful(nil)
		defer q.detach(false)
		for k := range 3 {
			synctest.Wait()
			q.burst(100) // 64 fill a chunk
			synctest.Wait()
			assert.Less(t, s.bytes(), (k+1)*100*onWire, "the pump holds back")
			time.Sleep(3 * shortRest) // one that may have begun within the burst, and the next
			synctest.Wait()
			assert.Equal(t, (k+1)*100*onWire, s.bytes())
		}
	})
}

// TestRest_GrowsWithTheBurst: while the caller goes on writing, the pump leaves it at that; and its last messages wait for no more than a long rest.
func TestRest_GrowsWithTheBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, s := restful(nil)
		defer q.detach(false)
		sent := 0
		for range 200 {
			q.burst(100)
			sent += 100
			synctest.Wait()
			time.Sleep(shortRest / 2)
		}
		q.mu.Lock()
		assert.Equal(t, longRest, q.pause)
		assert.True(t, q.resting)
		q.mu.Unlock()
		time.Sleep(2 * longRest) // one that messages came in, and one that none did
		synctest.Wait()
		assert.Equal(t, sent*onWire, s.bytes())
		q.mu.Lock()
		assert.Equal(t, shortRest, q.pause, "the next burst begins anew")
		q.mu.Unlock()
	})
}

// TestFlushHot_WhoWaitsForAnAnswer leaves nothing to a pump that rests.
func TestFlushHot_WhoWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := &Line{Places: 1, From: 64}
		q, s := restful(line)
		other, idle := restful(line)
		for range 3 {
			before := s.bytes()
			synctest.Wait()
			q.burst(100)
			line.FlushHot()
			assert.Equal(t, before+100*onWire, s.bytes())
			assert.Zero(t, idle.bytes())
		}
		q.burst(100)
		line.FlushHot()
		before := s.bytes()
		q.burst(20) // while the pump still rests
		line.FlushHot()
		assert.Equal(t, before+20*onWire, s.bytes(), "what comes behind is written likewise")
		q.burst(100)
		q.detach(false)
		other.detach(false)
		assert.Empty(t, line.hot, "what has no connection is not kept")
		line.FlushHot()
	})
}

// TestRest_EndsWhenThePeerWantsMore: within the process who reads says so, and no time passes; unless the caller has gone on and written itself meanwhile.
func TestRest_EndsWhenThePeerWantsMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &sink{room: -1}
		q.attach(giver{s})
		defer q.detach(false)
		start := time.Now()
		for k := range 3 {
			synctest.Wait()
			q.burst(100)
			synctest.Wait()
			assert.Less(t, s.bytes(), (k+1)*100*onWire, "the pump holds back")
			s.wanted()
			synctest.Wait()
			assert.Equal(t, (k+1)*100*onWire, s.bytes())
		}
		assert.Zero(t, time.Since(start))
	})
}

// TestRest_ThePeerWantsMoreBeforeItBegins: the pump does not begin one then.
func TestRest_ThePeerWantsMoreBeforeItBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &sink{room: -1}
		q.attach(giver{s})
		defer q.detach(false)
		start := time.Now()
		synctest.Wait()
		q.mu.Lock()
		q.heatLocked()
		q.mu.Unlock()
		s.wanted()
		q.burst(1)
		synctest.Wait()
		assert.Equal(t, onWire, s.bytes())
		assert.Zero(t, time.Since(start))
	})
}
