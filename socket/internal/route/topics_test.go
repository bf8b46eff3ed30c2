package route

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// matches returns who wants topic, in order.
func matches(t *Topics[int], topic string) []int {
	out := t.AppendMatch(nil, []byte(topic))
	slices.Sort(out)
	return out
}

// RFC 29, PUB: a message is sent to a subscriber if its first frame begins with a subscribed prefix,
// compared as binary; the empty prefix matches all.
func TestRFC29_PrefixMatch(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	for pipe, topic := range []string{"", "order.new", "order.", "order.cancelled", "order.cancel", "\x00\xff", "order.new"} {
		topics.Subscribe(pipe, []byte(topic))
	}
	for topic, want := range map[string][]int{
		"":                  {0},
		"o":                 {0},
		"order":             {0},
		"order.":            {0, 2},
		"order.ne":          {0, 2},
		"order.new":         {0, 1, 2, 6},
		"order.newer":       {0, 1, 2, 6},
		"order.nex":         {0, 2},
		"order.cancel":      {0, 2, 4},
		"order.cancelling":  {0, 2, 4},
		"order.cancelled.x": {0, 2, 3, 4},
		"Order.new":         {0},
		"\x00":              {0},
		"\x00\xff\x00":      {0, 5},
	} {
		assert.Equal(t, want, matches(&topics, topic), "topic %q", topic)
	}
	assert.Equal(t, 6, topics.Count())
	check(t, &topics)
}

// RFC 29: subscriptions are additive: each SUBSCRIBE needs its own CANCEL.
func TestRFC29_SubscriptionsAreAdditive(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	a := []byte("a")
	assert.True(t, topics.Subscribe(1, a))
	assert.False(t, topics.Subscribe(1, a), "the same pipe again")
	assert.False(t, topics.Subscribe(2, a), "another pipe")

	last, known := topics.Unsubscribe(1, a)
	assert.Equal(t, []bool{false, true}, []bool{last, known})
	assert.Equal(t, []int{1, 2}, matches(&topics, "a"), "1 has one subscription left")
	last, known = topics.Unsubscribe(1, a)
	assert.Equal(t, []bool{false, true}, []bool{last, known})
	last, known = topics.Unsubscribe(1, a)
	assert.Equal(t, []bool{false, false}, []bool{last, known}, "one too many")
	assert.Equal(t, []int{2}, matches(&topics, "a"))
	last, known = topics.Unsubscribe(2, a)
	assert.Equal(t, []bool{true, true}, []bool{last, known})
	assert.Empty(t, matches(&topics, "a"))
	assert.True(t, topics.Subscribe(1, a), "nobody had it any more")
}

// RFC 29: a subscriber gets a message once, however many of its subscriptions match.
func TestRFC29_OneMessagePerSubscriber(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	for _, topic := range []string{"", "a", "ab", "ab", "abc"} {
		topics.Subscribe(1, []byte(topic))
		topics.Subscribe(2, []byte(topic))
	}
	for range 2 { // the second match must not be fooled by the stamps of the first
		assert.Equal(t, []int{1, 2}, matches(&topics, "abcd"))
	}
	var yielded []int
	topics.Match([]byte("abcd"), func(p int) { yielded = append(yielded, p) })
	assert.ElementsMatch(t, []int{1, 2}, yielded)
	assert.Equal(t, []int{7, 1}, topics.AppendMatch([]int{7}, []byte("x"))[:2], "appends")
}

func TestUnsubscribeUnknown(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	topics.Subscribe(1, []byte("abc"))
	topics.Subscribe(1, []byte("abd"))
	topics.Subscribe(2, []byte("x"))
	for _, tc := range []struct {
		pipe  int
		topic string
	}{{1, ""}, {1, "a"}, {1, "ab"}, {1, "abcd"}, {1, "x"}, {2, "abc"}, {3, "abc"}} {
		last, known := topics.Unsubscribe(tc.pipe, []byte(tc.topic))
		assert.False(t, last || known, "pipe %d, topic %q", tc.pipe, tc.topic)
	}
	assert.Equal(t, 3, topics.Count())
	check(t, &topics)
}

func TestRemovePipe(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	for _, topic := range []string{"", "shared", "own.a", "own.ab", "own.ab"} {
		topics.Subscribe(1, []byte(topic))
	}
	topics.Subscribe(2, []byte("shared"))
	topics.Subscribe(2, []byte("own"))

	var gone []string
	note := func(topic []byte, times int, last bool) {
		gone = append(gone, fmt.Sprintf("%s %d %t", topic, times, last))
	}
	topics.RemovePipe(1, note)
	assert.ElementsMatch(t, []string{" 1 true", "shared 1 false", "own.a 1 true", "own.ab 2 true"}, gone)
	assert.Equal(t, []int{2}, matches(&topics, "own.abc"))
	assert.Equal(t, 2, topics.Count())
	check(t, &topics)

	topics.RemovePipe(1, func([]byte, int, bool) { t.Error("1 is gone already") })
	topics.RemovePipe(2, nil)
	assert.Zero(t, topics.Count())
	check(t, &topics)
	assert.Nil(t, topics.root.kids, "nothing is kept")
	assert.Empty(t, topics.slots)
}

// A caller may reuse the memory of the topics it passes.
func TestTopicsAreCopied(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	buf := []byte("abcd")
	topics.Subscribe(1, buf)
	topics.Subscribe(1, buf[:2])
	copy(buf, "xxxx")
	assert.Equal(t, []int{1}, matches(&topics, "ab"))
	assert.Empty(t, matches(&topics, "xxxx"))
}

// GHSA-qq65: a peer that subscribes to ever longer topics makes the trie as deep as a topic is long;
// nothing may recurse on that.
func TestDeepTrie(t *testing.T) {
	t.Parallel()
	const depth = 5000
	var topics Topics[int]
	long := bytes.Repeat([]byte("a"), depth)
	for i := range depth + 1 {
		topics.Subscribe(1, long[:i])
	}
	assert.Equal(t, depth+1, topics.Count())
	assert.Equal(t, []int{1}, matches(&topics, string(long)+"b"))
	gone := 0
	topics.RemovePipe(1, func([]byte, int, bool) { gone++ })
	assert.Equal(t, depth+1, gone)
	check(t, &topics)
}

// Every byte value may follow a prefix, and nodes shrink with their children.
func TestAllChildren(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	topic := []byte("topic.x")
	for i := range 256 {
		topic[6] = byte(i)
		topics.Subscribe(i, topic)
	}
	for i := range 256 {
		topic[6] = byte(i)
		require.Equal(t, []int{i}, matches(&topics, string(topic)+"y"))
	}
	for i := range 254 {
		topic[6] = byte(i)
		topics.Unsubscribe(i, topic)
	}
	check(t, &topics)
	assert.LessOrEqual(t, cap(topics.root.kids[0].kids), 8)
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	var set Prefixes
	each := func() (out []string) {
		set.Each(func(topic []byte, times int) {
			for range times {
				out = append(out, string(topic))
			}
		})
		slices.Sort(out)
		return out
	}
	assert.False(t, set.Match([]byte("a")))
	assert.Empty(t, each())

	assert.True(t, set.Add([]byte("ab")))
	assert.False(t, set.Add([]byte("ab")))
	assert.True(t, set.Add([]byte("abc")))
	assert.True(t, set.Add([]byte("x")))
	assert.Equal(t, []string{"ab", "ab", "abc", "x"}, each())
	assert.Equal(t, 3, set.Len())
	for topic, want := range map[string]bool{"": false, "a": false, "ab": true, "abd": true, "xy": true, "y": false} {
		assert.Equal(t, want, set.Match([]byte(topic)), "topic %q", topic)
	}

	for _, tc := range []struct {
		topic       string
		last, known bool
	}{{"ab", false, true}, {"ab", true, true}, {"ab", false, false}, {"a", false, false}} {
		last, known := set.Remove([]byte(tc.topic))
		assert.Equal(t, []bool{tc.last, tc.known}, []bool{last, known}, "topic %q", tc.topic)
	}
	assert.False(t, set.Match([]byte("abd")))
	assert.True(t, set.Match([]byte("abcd")))
	assert.True(t, set.Add(nil), "the empty topic is one like others")
	assert.True(t, set.Match(nil))
	assert.Equal(t, []string{"", "abc", "x"}, each())
}

// check verifies what trie.go and topics.go call invariants.
func check[P comparable](t testing.TB, topics *Topics[P]) {
	t.Helper()
	nodes, topicsSeen, holds := 0, 0, 0
	queue := []*node[P]{&topics.root}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		nodes++
		if len(n.subs) > 0 {
			topicsSeen++
		}
		if n.parent != nil {
			require.NotEmpty(t, n.prefix)
			require.True(t, len(n.subs) > 0 || len(n.kids) > 1, "node %q is of no use", n.topic(nil))
		}
		for at, s := range n.subs {
			h, ok := s.holds[n]
			require.True(t, ok)
			require.Equal(t, at, h.at)
			require.Positive(t, h.times)
		}
		require.Len(t, n.index, len(n.kids))
		for i, kid := range n.kids {
			require.Same(t, n, kid.parent)
			require.Equal(t, kid.prefix[0], n.index[i])
			require.Equal(t, 1, strings.Count(string(n.index), string(n.index[i:i+1])))
		}
		holds += len(n.subs)
		queue = append(queue, n.kids...)
	}
	require.Equal(t, topicsSeen, topics.Count())
	require.LessOrEqual(t, nodes, 2*topicsSeen+1)
	for p, s := range topics.slots {
		require.Equal(t, p, s.pipe)
		require.NotEmpty(t, s.holds)
		holds -= len(s.holds)
	}
	require.Zero(t, holds, "subscriptions held by a pipe and by a node")
}
