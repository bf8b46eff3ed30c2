package route

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// turns returns whose turn it is n times over.
func turns(r *RoundRobin[string], n int) (out string) {
	for range n {
		if p, ok := r.Next(); ok {
			out += p
		} else {
			out += "-"
		}
	}
	return out
}

// RFC 30, PUSH: outgoing messages go to the available peers round-robin.
func TestRFC30_PushRoundRobin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(r *RoundRobin[string])
		want string
	}{
		{"in the order of attachment", func(*RoundRobin[string]) {}, "abcdabcd"},
		{"a full pipe is skipped", func(r *RoundRobin[string]) { r.Deactivate("b") }, "acdacd"},
		{"the first may be the full one", func(r *RoundRobin[string]) { r.Deactivate("a") }, "bcdbcd"},
		{"a removed pipe is skipped", func(r *RoundRobin[string]) { r.Remove("c") }, "abdabd"},
		{"a late wake-up does not attach", func(r *RoundRobin[string]) { r.Remove("c"); r.Activate("c") }, "abdabd"},
		{"who comes back queues up last", func(r *RoundRobin[string]) { r.Deactivate("a"); r.Activate("a") }, "bcdabcda"},
		{"who found a full pipe loses no turn", func(r *RoundRobin[string]) { turns(r, 2); r.Deactivate("b") }, "cdacda"},
		{"twice attached is once attached", func(r *RoundRobin[string]) { r.Add("a"); r.Add("d") }, "abcdabcd"},
		{"attaching again activates", func(r *RoundRobin[string]) { r.Deactivate("a"); r.Add("a") }, "bcdabcda"},
		{"a stranger changes nothing", func(r *RoundRobin[string]) { r.Remove("x"); r.Deactivate("x"); r.Activate("x") }, "abcdabcd"},
		{"one left", func(r *RoundRobin[string]) { r.Remove("a"); r.Remove("b"); r.Deactivate("d") }, "ccc"},
		{"nobody left", func(r *RoundRobin[string]) {
			for _, p := range []string{"a", "b", "c", "d"} {
				r.Deactivate(p)
			}
		}, "--"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var r RoundRobin[string]
			for _, p := range []string{"a", "b", "c", "d"} {
				r.Add(p)
			}
			tc.do(&r)
			assert.Equal(t, tc.want, turns(&r, len(tc.want)))
		})
	}
}

// RFC 28, REP, DEALER, ROUTER: incoming messages are fair-queued. A peer that always has something to
// read must not delay one that has a single message.
func TestRFC28_FairQueueIn(t *testing.T) {
	t.Parallel()
	var q FairQueue[string]
	backlog := map[string]int{"flood": 1000, "b": 2, "c": 1}
	for _, p := range []string{"flood", "b", "c"} {
		q.Add(p)
	}
	var read []string
	for range 8 {
		p, ok := q.Next()
		require.True(t, ok)
		read = append(read, p)
		if backlog[p]--; backlog[p] == 0 {
			q.Deactivate(p)
		}
		if len(read) == 5 {
			q.Activate("c") // one more message has come
		}
	}
	assert.Equal(t, []string{"flood", "b", "c", "flood", "b", "flood", "c", "flood"}, read)
}

func TestRingZeroValue(t *testing.T) {
	t.Parallel()
	var r RoundRobin[int]
	r.Remove(1)
	r.Activate(1)
	r.Deactivate(1)
	_, ok := r.Next()
	assert.False(t, ok)
	assert.Zero(t, r.Len())
	assert.Zero(t, r.Active())
}

// The model is a slice whose first element has the next turn.
func TestRingAgainstModel(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var r RoundRobin[int]
	attached := map[int]bool{}
	var queue []int
	leave := func(p int) {
		queue = slices.DeleteFunc(queue, func(q int) bool { return q == p })
	}
	for range 50_000 {
		p := rnd.IntN(8)
		switch rnd.IntN(8) {
		case 0:
			r.Add(p)
			if attached[p] = true; !slices.Contains(queue, p) {
				queue = append(queue, p)
			}
		case 1:
			r.Remove(p)
			delete(attached, p)
			leave(p)
		case 2:
			r.Deactivate(p)
			leave(p)
		case 3:
			r.Activate(p)
			if attached[p] && !slices.Contains(queue, p) {
				queue = append(queue, p)
			}
		default:
			got, ok := r.Next()
			require.Equal(t, len(queue) > 0, ok)
			if ok {
				require.Equal(t, queue[0], got)
				queue = append(queue[1:], queue[0])
			}
		}
		require.Equal(t, len(attached), r.Len())
		require.Equal(t, len(queue), r.Active())
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var tab Table[int]
	_, ok := tab.Get([]byte("a"))
	assert.False(t, ok)
	assert.False(t, tab.Remove("a", 0), "the zero pipe owns nothing in an empty table")

	_, replaced := tab.Add("a", 1)
	assert.False(t, replaced)
	_, replaced = tab.Add("a", 1)
	assert.False(t, replaced, "the same pipe again")
	old, replaced := tab.Add("a", 2)
	assert.True(t, replaced)
	assert.Equal(t, 1, old)
	assert.False(t, tab.Remove("a", 1), "1 was replaced, so it frees nothing")

	p, ok := tab.Get([]byte("a"))
	assert.True(t, ok)
	assert.Equal(t, 2, p)
	tab.Add("", 3)
	assert.Equal(t, 2, tab.Len())
	assert.True(t, tab.Remove("a", 2))
	assert.False(t, tab.Remove("a", 2))
	assert.Equal(t, 1, tab.Len())
}

// Least prefers the pipe with the smallest load among those it looks at, and takes turns among equals.
func TestLeast(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		loads string // of a, b, c, d
		most  int
		want  string
	}{
		{"0000", 32, "abcdabcd"},
		{"1111", 32, "abcdabcd"},
		{"1021", 32, "bbbb"},
		{"2010", 32, "bdbd"},
		{"3210", 32, "dddd"},
		{"3210", 1, "abcdabcd"},
		{"3211", 2, "bcdbc"},
	} {
		var r RoundRobin[string]
		_, ok := r.Least(tc.most, nil)
		require.False(t, ok)
		for _, p := range []string{"a", "b", "c", "d"} {
			r.Add(p)
		}
		got := ""
		for range tc.want {
			p, ok := r.Least(tc.most, func(p string) int { return int(tc.loads[p[0]-'a'] - '0') })
			require.True(t, ok)
			got += p
		}
		assert.Equal(t, tc.want, got, "%s of %d", tc.loads, tc.most)
	}
}
