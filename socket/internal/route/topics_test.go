package route

import (
	"bytes"
	"fmt"
	"slices"
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
	assert.Zero(t, topics.index.count, "nothing is kept")
	assert.Empty(t, topics.sizes)
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

// A peer that subscribes to ever longer topics, and takes them back in any order.
func TestAllLengths(t *testing.T) {
	t.Parallel()
	const longest = 5000
	var topics Topics[int]
	long := bytes.Repeat([]byte("a"), longest)
	for i := range longest + 1 {
		topics.Subscribe(1, long[:i])
	}
	topics.Subscribe(2, long[:3*longest/4])
	assert.Equal(t, longest+1, topics.Count())
	assert.Equal(t, []int{1, 2}, matches(&topics, string(long)+"b"))
	check(t, &topics)
	gone := 0
	topics.RemovePipe(1, func([]byte, int, bool) { gone++ })
	assert.Equal(t, longest+1, gone)
	assert.Equal(t, []int{2}, matches(&topics, string(long)))
	check(t, &topics)
}

// A message that begins like no topic is not looked up in all the lengths that there are.
func TestAnchors(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	for i := range 1025 {
		topics.Subscribe(1, bytes.Repeat([]byte{'a'}, i))
	}
	for begins, end := range map[int]int{0: 32, 31: 32, 32: 128, 127: 128, 128: 512, 512: 1024, 1024: 1024} {
		topic := append(bytes.Repeat([]byte{'a'}, begins), bytes.Repeat([]byte{'b'}, 2000)...)
		h := topics.seed.prefixes(topic)
		for range topics.matches(&h) {
		}
		assert.Equal(t, end, h.at, "%d bytes as in topics", begins)
	}
}

// Many pipes share a topic, and each of them has many.
func TestCrowd(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	names := topicsOf(20)
	var all []int
	for pipe := range 3 * manySubs {
		all = append(all, pipe)
		for _, name := range names {
			require.Equal(t, pipe == 0, topics.Subscribe(pipe, name))
			require.False(t, topics.Subscribe(pipe, name))
		}
	}
	check(t, &topics)
	assert.Equal(t, all, matches(&topics, string(names[3])))
	for pipe := range 3*manySubs - 1 {
		for i := range names {
			last, known := topics.Unsubscribe(pipe, names[(i*7)%20])
			require.Equal(t, []bool{false, true}, []bool{last, known})
			last, known = topics.Unsubscribe(pipe, names[(i*7)%20])
			require.Equal(t, []bool{false, true}, []bool{last, known})
		}
		if pipe%16 == 0 {
			check(t, &topics)
		}
	}
	assert.Equal(t, all[len(all)-1:], matches(&topics, string(names[3])))
	check(t, &topics)
}

// What is kept follows what is subscribed, not what once was; and what is left is found where it is now.
func TestIndexShrinks(t *testing.T) {
	t.Parallel()
	var topics Topics[int]
	names := topicsOf(5000)
	for i, name := range names {
		if i%2 == 0 {
			names[i] = bytes.Repeat(name, 2)
		}
		topics.Subscribe(1, names[i])
		topics.Subscribe(2+i%3, names[i])
	}
	check(t, &topics)
	require.Greater(t, len(topics.index.segments), 1)
	for i, name := range names[10:4990] {
		if i == 4500 {
			check(t, &topics)
		}
		topics.Unsubscribe(1, name)
		topics.Unsubscribe(2+(10+i)%3, name)
	}
	check(t, &topics)
	assert.Equal(t, 20, topics.Count())
	assert.Len(t, topics.index.segments, 1)
	assert.LessOrEqual(t, len(topics.index.segments[0].entries), 256)
	assert.LessOrEqual(t, cap(topics.index.rests), 128)
	assert.LessOrEqual(t, cap(topics.slots[0].holds), 128)
	for i, name := range slices.Concat(names[:10], names[4990:]) {
		assert.Equal(t, []int{1, 2 + (i%10+i/10*4990)%3}, matches(&topics, string(name)))
	}
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

// check verifies what segment.go, index.go, entry.go and topics.go call invariants.
func check[P comparable](t testing.TB, topics *Topics[P]) {
	t.Helper()
	x := &topics.index
	checkSegments(t, x)
	checkRests(t, x)
	entries, topicsSeen, subs, sizes := -1, 0, 0, map[int]int{}
	longer, lengths := map[string]int32{}, map[string]uint64{}
	topicOf := func(e *entry) string { return string(x.appendTopic(nil, e)) }
	for e := range x.entries() {
		entries++
		topic := topicOf(e)
		require.Equal(t, e == &x.all, topic == "")
		require.Same(t, e, topics.find([]byte(topic)))
		if topic != "" {
			require.Equal(t, topics.seed.hash([]byte(topic)), e.hash)
			sizes[len(topic)]++
		}
		for at, s := range x.subs(e) {
			require.Equal(t, hold{e.hash, uint32(at)}, topics.slots[s.slot].holds[s.at])
			require.Same(t, e, x.holder(hold{e.hash, uint32(at)}, s.slot, s.at))
			require.Positive(t, s.times)
			require.Equal(t, at, x.where(e, s.slot))
		}
		subs += len(x.subs(e))
		if !x.subscribed(e) {
			continue
		}
		topicsSeen++
		for n := firstAnchor; n < len(topic); n *= anchorStep {
			longer[topic[:n]]++
			lengths[topic[:n]] |= newSize(min(len(topic), n*anchorStep)).bit
		}
	}
	require.Equal(t, entries, x.count)
	require.Equal(t, topicsSeen, topics.Count())
	for e := range x.entries() {
		topic := topicOf(e)
		has, some := x.longer(e)
		require.Equal(t, longer[topic] > 0, some)
		require.Equal(t, lengths[topic], has&lengths[topic])
		require.True(t, e == &x.all || x.subscribed(e) || some, "entry %q is of no use", topic)
		if e.rest != 0 {
			require.Equal(t, longer[topic], x.rests[e.rest-1].longer)
		}
	}
	for i, s := range topics.sizes {
		require.Equal(t, sizes[s.bytes], s.entries)
		require.Equal(t, slices.Contains([]int{32, 128, 512, 2048, 8192}, s.bytes), s.anchor)
		require.True(t, i == 0 || topics.sizes[i-1].bytes < s.bytes)
	}
	require.Len(t, topics.sizes, len(sizes))
	for p, slot := range topics.pipes {
		s := &topics.slots[slot]
		require.Equal(t, p, s.pipe)
		require.NotEmpty(t, s.holds)
		subs -= len(s.holds)
		bytes, total := 0, 0
		for i, h := range s.holds {
			e := x.holder(h, slot, uint32(i))
			bytes += len(topicOf(e))
			total += x.subs(e)[h.at].times
		}
		require.Equal(t, []int{bytes, total}, []int{s.bytes, s.total})
	}
	require.Zero(t, subs, "subscriptions held by a pipe and by an entry")
	require.Len(t, topics.slots, len(topics.pipes)+len(topics.spare))
}

// checkSegments verifies that each segment is where its hashes are looked for, and that neighbours are there because of what they hold.
func checkSegments(t testing.TB, x *index) {
	t.Helper()
	for i := 0; i < len(x.segments); {
		s, places := x.segments[i], 1<<(x.depth-x.segments[i].depth)
		require.Zero(t, i%places)
		for range places {
			require.Same(t, s, x.segments[i])
			i++
		}
		count := 0
		for k, tag := range s.tags {
			if tag == 0 {
				require.Equal(t, entry{}, s.entries[k])
				continue
			}
			count++
			require.Equal(t, tagOf(s.entries[k].hash), tag)
			require.Same(t, s, x.segments[x.of(s.entries[k].hash)])
		}
		require.Equal(t, s.count, count)
		require.LessOrEqual(t, 4*count, 3*len(s.tags))
		if s.depth > 0 {
			require.Len(t, s.tags, fullSegment)
			if other := x.segments[(i-places)^places]; other.depth == s.depth {
				require.GreaterOrEqual(t, s.count+other.count, fullSegment/4)
			}
		} else if len(s.tags) > smallSegment {
			require.GreaterOrEqual(t, 8*s.count, len(s.tags))
		}
	}
}

// checkRests verifies that each rest belongs to an entry that needs it.
func checkRests(t testing.TB, x *index) {
	t.Helper()
	owners := 0
	for e := range x.entries() {
		if e.rest == 0 {
			require.Less(t, int(e.bytes), long)
			continue
		}
		owners++
		r := &x.rests[e.rest-1]
		require.Equal(t, e.hash, r.hash)
		require.Equal(t, int(e.bytes) == long, r.text != "")
		require.True(t, r.text != "" || r.subs != nil || r.longer != 0)
		require.NotEqual(t, 1, len(r.subs))
		require.True(t, r.subs == nil || e.first[0] == sub{})
	}
	require.Len(t, x.rests, owners)
}
