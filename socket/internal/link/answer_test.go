package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
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
