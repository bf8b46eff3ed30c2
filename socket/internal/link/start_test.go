package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (q *queue) hasPump() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pumping
}

// What waits for a connection, and the first message on it, are written without a pump; what needs one starts it.
func TestStart_NoPumpBeforeItIsNeeded(t *testing.T) {
	t.Parallel()
	q, s := newQueue(), &sink{room: -1}
	q.First = []byte("<")
	q.send("a")
	q.Attach(NewConn(s))
	q.Start()
	assert.False(t, q.hasPump())
	assert.Equal(t, "<\x00\x01a", string(s.got))
	require.Zero(t, q.Detach(true))

	s = &sink{room: -1}
	q.First = nil
	q.Attach(NewConn(s))
	q.Start()
	_, flush := q.Append(nil, [][]byte{[]byte("b")}, 1)
	require.True(t, flush, "the first on its connection")
	q.Flush()
	assert.False(t, q.hasPump())
	assert.Equal(t, "\x00\x01b", string(s.got))
	_, flush = q.Append(nil, [][]byte{[]byte("c")}, 1)
	require.False(t, flush, "more may follow")
	assert.True(t, q.hasPump())
	q.Watch()
	if msgs, _ := q.Depth(); msgs > 0 {
		<-q.drained
	}
	require.Zero(t, q.Detach(false))
	assert.False(t, q.hasPump())
	assert.Equal(t, "\x00\x01b\x00\x01c", string(s.got))
}

// What a connection does not take at once its pump writes.
func TestStart_PumpForTheRest(t *testing.T) {
	t.Parallel()
	q, s := newQueue(), &sink{room: -1, block: make(chan struct{})}
	q.send("a")
	q.Attach(NewConn(s))
	q.Start()
	assert.True(t, q.hasPump())
	q.Watch()
	close(s.block)
	<-q.drained
	require.Zero(t, q.Detach(false))
	assert.Equal(t, "\x00\x01a", string(s.got))
}
