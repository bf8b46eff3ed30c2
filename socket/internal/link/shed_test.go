package link

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// A queue that sheds takes every message, drops whole ones from its old end, counts each, and keeps as many of the newest as have a
// place, wherever connections break meanwhile.
func TestOut_ShedsTheOldest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		q := newQueue()
		shed := 0
		q.Limit(1+r.IntN(5), []int{0, 200 << 10}[r.IntN(2)], func(n int) { shed += n })
		var want, got [][][]byte
		for range 4 {
			s := &sink{room: r.IntN(300 << 10), shy: r.IntN(2) == 0}
			q.attach(s)
			for range r.IntN(20) {
				if r.IntN(4) == 0 {
					q.Control(zmtp.AppendPing(nil, 0, nil), false)
				}
				m := message(r, len(want))
				want = append(want, m)
				var ok, flush bool
				if r.IntN(2) == 0 {
					ok, flush = q.appendEncoded(m)
				} else {
					ok, flush = q.Append(nil, m, size(m))
				}
				require.True(t, ok)
				if flush && r.IntN(2) == 0 {
					q.Flush()
				}
			}
			require.Zero(t, q.detach(true))
			whole, _ := naive(s.got, 1<<30)
			got = append(got, whole...)
		}
		last := &sink{room: -1}
		q.attach(last)
		q.empty()
		q.detach(true)
		whole, _ := naive(last.got, 1<<30)
		got = append(got, whole...)
		require.Equal(t, len(want), len(got)+shed, "seed %d", seed)
		next := 0
		for _, m := range got { // what was sent, less some
			for next < len(want) && !equal(want[next], m) {
				next++
			}
			require.Less(t, next, len(want), "seed %d", seed)
			next++
		}
		if len(want) > 0 {
			require.True(t, equal(want[len(want)-1], got[len(got)-1]), "seed %d: the newest is kept", seed)
		}
		msgs, bytes := q.Depth()
		require.Zero(t, msgs)
		require.Zero(t, bytes)
	}
}

// What stays is what the limits leave room for, in messages and in bytes, and one message always has its place.
func TestOut_ShedsNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		msgs, bytes int
		sizes       []int
		left        int
	}{
		{msgs: 3, sizes: []int{1, 1, 1, 1, 1}, left: 3},
		{msgs: 1, sizes: []int{5, 6, 7}, left: 1},
		{bytes: 100, sizes: []int{60, 30, 10, 60, 30}, left: 3},
		{bytes: 100, sizes: []int{50, 500}, left: 1},
		{msgs: 2, bytes: 1 << 20, sizes: []int{70 << 10, 80 << 10, 0, 90 << 10, 1}, left: 2},
		{sizes: []int{1, 2, 3}, left: 3},
	} {
		q := newQueue()
		shed := 0
		q.Limit(tc.msgs, tc.bytes, func(n int) { shed += n })
		bytes := 0
		for i, n := range tc.sizes {
			q.Append(nil, [][]byte{make([]byte, n)}, n)
			if i >= len(tc.sizes)-tc.left {
				bytes += n
			}
		}
		assert.Equal(t, len(tc.sizes)-tc.left, shed, tc)
		haveMsgs, haveBytes := q.Depth()
		assert.Equal(t, []int{tc.left, bytes}, []int{haveMsgs, haveBytes}, tc)
		assert.False(t, q.Full(1<<20), "it never refuses")
	}
}

// What is being written stays: the messages that wait behind it have the limits to themselves.
func TestOut_ShedLeavesWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	q := newQueue()
	shed := 0
	q.Limit(2, 0, func(n int) { shed += n })
	s := &sink{room: -1, block: make(chan struct{})}
	for n := range 2 {
		q.Append(nil, [][]byte{fmt.Append(nil, n)}, 1)
	}
	q.attach(s)
	for taken := false; !taken; { // by the pump, which is stuck in Write
		q.mu.Lock()
		taken = q.writing
		q.mu.Unlock()
	}
	for n := 2; n < 9; n++ {
		q.Append(nil, [][]byte{fmt.Append(nil, n)}, 1)
	}
	assert.Equal(t, 5, shed)
	close(s.block)
	q.empty()
	q.detach(false)
	whole, _ := naive(s.got, 1<<20)
	var got []string
	for _, m := range whole {
		got = append(got, string(m[0]))
	}
	assert.Equal(t, "0 1 7 8", strings.Join(got, " "))
}

// A queue that keeps the last message only does so when a connection is lost, too: what that left is sent again only if nothing newer waits.
func TestOut_ConflatesAcrossConnections(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		q := newQueue()
		shed, sent, got := 0, 0, 0
		q.Conflate(func(n int) { shed += n })
		for range 5 {
			s := &sink{room: r.IntN(200 << 10), shy: r.IntN(2) == 0}
			q.attach(s)
			for range r.IntN(4) {
				m := make([]byte, r.IntN(100<<10))
				_, flush := q.Append(nil, [][]byte{m}, len(m))
				sent++
				if flush {
					q.Flush()
				}
			}
			require.Zero(t, q.detach(true))
			msgs, _ := q.Depth()
			require.LessOrEqual(t, msgs, 1, "seed %d", seed)
			whole, _ := naive(s.got, 1<<30)
			got += len(whole)
			require.Equal(t, sent, got+shed+msgs, "seed %d", seed)
		}
	}
}
