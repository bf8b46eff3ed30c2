package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A peer that settles all messages but one gets no more than the window has place for, however it is given them, until it has settled that one.
func TestRetain_OneIsStuck(t *testing.T) {
	t.Parallel()
	const window = 103 // in the middle of a row
	for name, deliver := range map[string]func(q *queue, number uint64) (ok, flush bool){
		"one by one": func(q *queue, number uint64) (ok, flush bool) {
			return q.Deliver(bodiesOf("x"), 1, Delivery{Number: number, Attempt: 1})
		},
		"in rows": func(q *queue, _ uint64) (ok, flush bool) {
			if q.AppendRow(bodiesOf("x"), 1) {
				return true, false
			}
			return q.DeliverOpen(bodiesOf("x"), 1, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, room := newQueue(), 0
			q.Room = func() { room++ }
			q.Retain(Retention{Stream: [16]byte{7}})
			require.EqualValues(t, 1<<20, q.kept.window)
			q.kept.window = window
			q.attach(&sink{room: -1})
			q.Grant(10, 1<<20)
			q.Open(true)
			settle := func(tags ...uint64) { // once they are written
				q.Flush()
				require.Eventually(t, func() bool {
					q.mu.Lock()
					defer q.mu.Unlock()
					return q.sentLocked() >= tags[len(tags)-1]
				}, time.Minute, time.Microsecond)
				_, _, err := q.Ack(ackOf(t, tags...))
				require.NoError(t, err)
			}
			give := func(from, to uint64) { // in fives, of which all but number 1 are settled
				var tags []uint64
				for number := from; number <= to; number++ {
					ok, _ := deliver(q, number)
					require.True(t, ok, number)
					if number > 1 {
						tags = append(tags, number)
					}
					if number%5 == 0 {
						settle(tags...)
						tags = nil
					}
				}
			}
			give(1, window)
			ok, _ := deliver(q, window+1)
			require.False(t, ok)
			ok, _ = q.Deliver(bodiesOf("x"), 1, Delivery{Number: window + 1, Attempt: 1})
			require.False(t, ok)
			msgs, _ := q.Outstanding()
			assert.Equal(t, [2]int{4, 0}, [2]int{msgs, room})
			settle(1, 101, 102, 103)
			assert.Equal(t, 1, room)
			give(window+1, 2*window)
			q.detach(false)
		})
	}
}
