package socket

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestByTopic_InOrder: whatever comes and goes, each topic is found, what begins with a prefix is together, and blocks are neither large nor, but for few, nearly empty.
func TestByTopic_InOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		var b byTopic
		has := map[string]*lastValue{}
		check := func() {
			want := slices.Sorted(maps.Keys(has))
			require.Equal(t, len(want), b.n)
			from, _ := b.find([]byte("5"))
			at, _ := slices.BinarySearch(want, "5")
			for v := range b.from(from) {
				require.Equal(t, want[at], v.topic)
				at++
			}
			require.Equal(t, len(want), at)
			require.LessOrEqual(t, len(b.blocks), 1+b.n/(topicBlock/8))
			for _, block := range b.blocks {
				require.NotEmpty(t, block)
				require.LessOrEqual(t, len(block), topicBlock)
			}
		}
		for _, odds := range []int{9, 1, 7, 0} { // in ten that a topic is put in
			for range 10_000 {
				topic := fmt.Sprint(random.IntN(20_000))
				p, known := b.find([]byte(topic))
				require.Equal(t, has[topic] != nil, known)
				switch in := random.IntN(10) < odds; {
				case known:
					require.Same(t, has[topic], b.at(p))
					if !in {
						b.remove(p)
						delete(has, topic)
					}
				case in:
					has[topic] = &lastValue{topic: topic}
					b.insert(p, has[topic])
				}
			}
			check()
		}
		for topic := range has {
			p, _ := b.find([]byte(topic))
			b.remove(p)
			delete(has, topic)
		}
		check()
	}
}

// TestByTopic_FillsBlocks: topics that come in order leave them half full at least.
func TestByTopic_FillsBlocks(t *testing.T) {
	t.Parallel()
	var b byTopic
	for n := range 100_000 {
		topic := fmt.Sprintf("%06d", n)
		p, _ := b.find([]byte(topic))
		b.insert(p, &lastValue{topic: topic})
	}
	require.LessOrEqual(t, len(b.blocks), 100_000/(topicBlock/2)+1)
}
