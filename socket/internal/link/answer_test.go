package link

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The first answer is written by who gives it while one at a time is given: where several are, the pump writes them together, beginning with the turn after the first such.
func TestAppend_OneAnswerIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.Attach(NewConn(&sink{room: -1})) // without a pump
	answers := func(n int) (atOnce bool) {
		q.Spoke()
		for i := range n {
			_, flush := q.Append(nil, [][]byte{[]byte("answer")}, 6)
			if i == 0 {
				atOnce = flush
			} else {
				assert.False(t, flush, "one that follows")
			}
		}
		q.Flush()
		return atOnce
	}
	for i, turn := range []struct {
		answers int
		atOnce  bool
	}{{1, true}, {1, true}, {3, true}, {3, false}, {1, false}, {1, true}, {2, true}, {1, false}, {1, true}} {
		assert.Equal(t, turn.atOnce, answers(turn.answers), "turn %d, of %d answers", i, turn.answers)
	}
	q.Spoke()
	q.Spoke()
	_, flush := q.Append(nil, [][]byte{[]byte("answer")}, 6)
	assert.True(t, flush, "one answer to two messages")
}

// What a connection was given before it was asked anything says nothing about answers.
func TestAppend_FirstAnswerOfAConnection(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for range 3 {
		q.Append(nil, [][]byte{[]byte("news")}, 4)
	}
	q.Attach(NewConn(&sink{room: -1}))
	q.Flush()
	q.Spoke()
	_, flush := q.Append(nil, [][]byte{[]byte("answer")}, 6)
	assert.True(t, flush)
}

// Who sends one message now and then writes it; what follows at once, and the turn after one of several, is the pump's.
func TestAppend_OneMessageNowAndThenIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Line = &Line{From: 2}
		q.attach(&sink{room: -1})
		sends := func(n int) (atOnce bool) {
			time.Sleep(calmPause)
			synctest.Wait() // the pump sleeps
			for i := range n {
				_, flush := q.Append(nil, [][]byte{[]byte("news")}, 4)
				if flush {
					q.Flush()
				}
				if i == 0 {
					atOnce = flush
				} else {
					assert.False(t, flush, "one that follows at once")
				}
			}
			return atOnce
		}
		sends(2)
		for range calmTurns {
			assert.False(t, sends(1), "one of the first")
		}
		for i, turn := range []struct {
			messages int
			atOnce   bool
		}{{1, true}, {1, true}, {3, true}, {1, false}, {1, false}, {1, false}, {2, false}, {1, false}, {1, false}, {1, false}, {1, false}, {1, true}} {
			assert.Equal(t, turn.atOnce, sends(turn.messages), "turn %d, of %d messages", i, turn.messages)
		}
		q.detach(true)
	})
}

// Messages that go to several queues of a socket at once are not alone, though each is in its queue.
func TestAppend_OneMessageForEachQueueIsNotAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := &Line{From: 3}
		queues := []*queue{newQueue(), newQueue()}
		for _, q := range queues {
			q.Line = line
			q.attach(&sink{room: -1})
		}
		for range 3 * calmTurns {
			time.Sleep(calmPause)
			synctest.Wait() // the pumps sleep
			for _, q := range queues {
				_, flush := q.Append(nil, [][]byte{[]byte("news")}, 4)
				assert.False(t, flush)
			}
		}
		for _, q := range queues {
			q.detach(true)
		}
	})
}

// Whoever queues a message, at whatever time, and whoever writes it: none stays in a queue when all have done what they were told to.
func TestAppend_NoMessageStays(t *testing.T) {
	t.Parallel()
	for _, from := range []int{1, 100} { // all in line, and none
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { noMessageStays(t, &Line{Places: 1, From: from}) })
		})
	}
}

func noMessageStays(t *testing.T, line *Line) {
	r := rand.New(rand.NewPCG(1, uint64(line.From)))
	queues := make([]*queue, 4)
	for i := range queues {
		q := newQueue()
		queues[i], q.Line = q, line
		q.attach(&sink{room: -1, shy: i == 0})
		q.Open(true)
	}
	told := 0
	for round := range 3000 {
		time.Sleep(time.Duration(r.Int64N(int64(10 * calmPause))))
		var all sync.WaitGroup
		for range 1 + r.IntN(4)*r.IntN(2)*r.IntN(2) {
			q, m, row := queues[r.IntN(len(queues))], [][]byte{[]byte("news")}, r.IntN(2) == 0
			before, between := time.Duration(r.IntN(2)), time.Duration(r.IntN(2)) // with none the others run at the same time
			all.Go(func() {
				time.Sleep(before)
				if q.AppendRow(m, 4) {
					return
				}
				flush := false
				if row {
					_, flush = q.AppendOpen(m, 4, 0)
				} else {
					_, flush = q.Append(nil, m, 4)
				}
				if flush {
					time.Sleep(between)
					q.Flush()
				}
			})
			if r.IntN(50) == 0 {
				q.Spoke()
			}
		}
		all.Wait()
		synctest.Wait()
		for i, q := range queues {
			msgs, _ := q.Depth()
			require.Zero(t, msgs, "round %d, queue %d", round, i)
		}
		if line.calm.turns == calmTurns {
			told++
		}
	}
	assert.Greater(t, told, 300, "rounds that ended calm")
	for _, q := range queues {
		q.Detach(true)
	}
}
