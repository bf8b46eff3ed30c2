package route

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// model does what Topics does, in the plainest way: how often each pipe subscribed to each topic.
type model map[int]map[string]int

func (m model) holders(topic string) (n int) {
	for _, topics := range m {
		if topics[topic] > 0 {
			n++
		}
	}
	return n
}

func (m model) matches(topic string) (out []int) {
	for pipe, topics := range m {
		for prefix := range topics {
			if strings.HasPrefix(topic, prefix) {
				out = append(out, pipe)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

func (m model) count() int {
	all := map[string]bool{}
	for _, topics := range m {
		for topic := range topics {
			all[topic] = true
		}
	}
	return len(all)
}

func (m model) subscribe(pipe int, topic string) (first bool) {
	first = m.holders(topic) == 0
	if m[pipe] == nil {
		m[pipe] = map[string]int{}
	}
	m[pipe][topic]++
	return first
}

func (m model) unsubscribe(pipe int, topic string) (last, known bool) {
	if m[pipe][topic] == 0 {
		return false, false
	}
	if m[pipe][topic]--; m[pipe][topic] == 0 {
		delete(m[pipe], topic)
	}
	return m.holders(topic) == 0, true
}

func (m model) remove(pipe int) (gone []string) {
	for topic := range m[pipe] {
		if m.holders(topic) == 1 {
			gone = append(gone, topic)
		}
	}
	delete(m, pipe)
	slices.Sort(gone)
	return gone
}

// compare does one operation with both and requires that they agree. Prefixes follows pipe 0.
func compare(t testing.TB, m model, topics *Topics[int], set *Prefixes, op byte, pipe int, topic string) {
	t.Helper()
	switch op % 16 {
	default: // subscribe more often than not, so that the set grows
		if pipe == 0 {
			require.Equal(t, m[0][topic] == 0, set.Add([]byte(topic)))
		}
		require.Equal(t, m.subscribe(pipe, topic), topics.Subscribe(pipe, []byte(topic)))
	case 1, 2, 3, 4, 5:
		wantLast, wantKnown := m.unsubscribe(pipe, topic)
		last, known := topics.Unsubscribe(pipe, []byte(topic))
		require.Equal(t, []bool{wantLast, wantKnown}, []bool{last, known})
		if pipe == 0 {
			last, known = set.Remove([]byte(topic))
			require.Equal(t, []bool{wantKnown && m[0][topic] == 0, wantKnown}, []bool{last, known})
		}
	case 6:
		var gone []string
		topics.RemovePipe(pipe, func(topic []byte, times int, last bool) {
			require.Equal(t, m[pipe][string(topic)], times)
			if last {
				gone = append(gone, string(topic))
			}
		})
		slices.Sort(gone)
		require.Equal(t, m.remove(pipe), gone)
		if pipe == 0 {
			*set = Prefixes{}
		}
	}
	want := m.matches(topic)
	require.Equal(t, want, matches(topics, topic), "topic %q", topic)
	exact := topics.AppendExact(nil, []byte(topic))
	require.Len(t, exact, m.holders(topic))
	for _, pipe := range exact {
		require.NotZero(t, m[pipe][topic])
	}
	for pipe := range m {
		total := 0
		for _, times := range m[pipe] {
			total += times
		}
		require.Equal(t, []int{len(m[pipe]), total}, []int{topics.Held(pipe), topics.Total(pipe)})
		require.Equal(t, slices.Contains(want, pipe), topics.Found(pipe))
	}
	require.Equal(t, slices.Contains(want, 0), set.Match([]byte(topic)))
	require.Equal(t, m[0][topic] > 0, set.Has([]byte(topic)))
	require.Equal(t, m.count(), topics.Count())
	require.Len(t, m[0], set.Len())
}

// finish compares what a sequence of operations has left.
func finish(t testing.TB, m model, topics *Topics[int], set *Prefixes) {
	t.Helper()
	check(t, topics)
	check(t, &set.topics)
	listed := map[string]bool{}
	set.Each(func(topic []byte, times int) {
		listed[string(topic)] = true
		require.Equal(t, m[0][string(topic)], times)
	})
	require.Len(t, listed, set.Len())
	var all []string
	topics.Each(func(topic []byte) { all = append(all, string(topic)) })
	require.Len(t, all, topics.Count())
	for _, topic := range all {
		require.NotZero(t, m.holders(topic), "topic %q", topic)
	}
	slices.Sort(all)
	require.Len(t, slices.Compact(all), topics.Count(), "each once")
}

func TestTopicsAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		m, topics, set := model{}, &Topics[int]{}, &Prefixes{}
		for range 1000 {
			topic := make([]byte, rnd.IntN(7))
			for i := range topic {
				topic[i] = "abc\x00"[rnd.IntN(4)]
			}
			if rnd.IntN(2) == 0 {
				topic = append(bytes.Repeat([]byte("a"), rnd.IntN(140)), topic...)
			}
			compare(t, m, topics, set, byte(rnd.IntN(16)), rnd.IntN(5), string(topic))
		}
		finish(t, m, topics, set)
	}
}

// FuzzTopics reads operations of a pipe and opcode byte, a length byte and that many topic bytes, before which a
// length above 127 puts others.
func FuzzTopics(f *testing.F) {
	f.Add([]byte("\x00\x01a\x10\x02ab\x00\x03abc\x01\x02ab\x06\x00"))
	f.Add([]byte("\x00\x00\x10\x00\x01\x00\x11\x00\x00\x04aaaa\x00\x02aa\x01\x02aa\x06\x00"))
	f.Add([]byte("\x00\x89aaaaaaaab\x10\x89aaaaaaaac\x00\x00\x20\x88aaaaaaaa\x01\x89aaaaaaaab\x16\x00"))
	f.Add([]byte("\x00\x05ab\x00cd\x20\x05ab\xffcd\x10\x02ab\x16\x00\x26\x00\x06\x00"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		m, topics, set := model{}, &Topics[int]{}, &Prefixes{}
		ops = ops[:min(len(ops), 1024)] // the model is quadratic
		for len(ops) >= 2 {
			op, long, size := ops[0], ops[1] >= 128, int(ops[1]%32)
			ops = ops[2:]
			size = min(size, len(ops))
			topic := string(ops[:size])
			if long {
				topic = strings.Repeat("a", 5*size) + topic
			}
			compare(t, m, topics, set, op, int(op>>4), topic)
			ops = ops[size:]
		}
		finish(t, m, topics, set)
	})
}
