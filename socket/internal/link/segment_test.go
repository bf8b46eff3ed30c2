package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A part of a pooled chunk may be as long as the small chunk that stays with a queue. It is not one: whoever gets the
// chunk from the pool next would find a stranger's messages in it.
func TestOut_SpareIsNoPartOfAPooledChunk(t *testing.T) {
	t.Parallel()
	q := newQueue()
	fill := func(n int) { q.Append(nil, [][]byte{make([]byte, n-9)}, n-9) }
	fill(30 << 10)
	fill(30 << 10)
	fill(3 << 10)
	fill(smallChunk - 9)
	require.Len(t, q.segs, 2, "one chunk is full, the next one begun")
	q.Append(nil, [][]byte{make([]byte, largeBody+1)}, largeBody+1)
	require.Equal(t, smallChunk, cap(q.segs[1].b), "the header ends here")
	s := &sink{room: -1}
	q.attach(s)
	q.empty()
	q.detach(true)
	assert.True(t, q.spare == nil, "the chunk is in the pool")
}

// Depth, and with it what is counted as lost, is right wherever a connection breaks.
func TestOut_CountsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		q := newQueue()
		total, bodies := 0, 0
		for n := range 1 + r.IntN(8) {
			m := message(r, n)
			q.Append(nil, m, size(m))
			total++
			bodies += size(m)
		}
		s := &sink{room: r.IntN(bodies + 100)}
		q.attach(s)
		for s.left() > 0 && !q.Watch() {
			q.Flush()
		}
		require.Zero(t, q.detach(true))
		whole, _ := naive(s.got, 1<<30)
		written := 0
		for _, m := range whole {
			written += size(m)
		}
		msgs, bytes := q.Depth()
		require.Equal(t, total-len(whole), msgs, "seed %d", seed)
		require.Equal(t, bodies-written, bytes, "seed %d", seed)
		require.Equal(t, msgs, q.Drop(), "seed %d", seed)
	}
}

func (s *sink) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

// Queues share chunks and copies of bodies through pools, and lose and find connections. None ever writes what
// another one queued.
func TestOut_QueuesDoNotMix(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	type end struct {
		*queue
		sink      *sink
		sent, got [][][]byte
	}
	ends := make([]*end, 4)
	for i := range ends {
		ends[i] = &end{queue: newQueue(), sink: &sink{room: -1}}
		ends[i].attach(ends[i].sink)
	}
	collect := func(e *end) {
		e.detach(true)
		whole, _ := naive(e.sink.got, 1<<30)
		e.got = append(e.got, whole...)
	}
	for n := range 3000 {
		i := r.IntN(len(ends))
		e := ends[i]
		m := append([][]byte{fmt.Appendf(nil, "%d", i)}, message(r, n)...)
		if r.IntN(2) == 0 {
			m = [][]byte{bytes.Repeat([]byte{byte(i)}, 2000+r.IntN(100))}
		}
		_, flush := e.Append(nil, m, size(m))
		e.sent = append(e.sent, m)
		if flush {
			e.Flush()
		}
		if r.IntN(40) == 0 {
			collect(e)
			e.sink = &sink{room: r.IntN(300 << 10), shy: true}
			e.attach(e.sink)
		}
	}
	for i, e := range ends {
		collect(e)
		e.sink = &sink{room: -1}
		e.attach(e.sink)
		e.empty()
		collect(e)
		require.Len(t, e.got, len(e.sent), "queue %d", i)
		for n := range e.sent {
			require.True(t, equal(e.sent[n], e.got[n]), "queue %d, message %d", i, n)
		}
	}
}
