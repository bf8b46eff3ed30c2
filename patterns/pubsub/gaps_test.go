package pubsub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// reports are what a test's gaps told.
type reports struct {
	mu  sync.Mutex // guards the field below
	all []string
}

func (r *reports) take(e *GapError, _ *socket.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprintf("%d-%d", e.From, e.To))
}

func (r *reports) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

func TestGaps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		numbers []uint64
		gaps    string // once the grace period is over
		counts  GapCounts
	}{
		{"none", []uint64{1, 2, 3}, "", GapCounts{Numberings: 1}},
		{"joined late", []uint64{7, 8}, "", GapCounts{Numberings: 1}},
		{"one", []uint64{1, 2, 5}, "3-4", GapCounts{Gaps: 1, Missing: 2, Numberings: 1}},
		{"two", []uint64{1, 3, 6, 7}, "2-2 4-5", GapCounts{Gaps: 2, Missing: 3, Numberings: 1}},
		{"filled", []uint64{1, 4, 2, 3, 5}, "", GapCounts{Reordered: 2, Numberings: 1}},
		{"split", []uint64{1, 6, 4}, "2-3 5-5", GapCounts{Gaps: 2, Missing: 3, Reordered: 1, Numberings: 1}},
		{"trimmed", []uint64{1, 6, 5, 2}, "3-4", GapCounts{Gaps: 1, Missing: 2, Reordered: 2, Numberings: 1}},
		{"again", []uint64{1, 2, 2, 1, 4, 3, 3}, "", GapCounts{Duplicates: 3, Reordered: 1, Numberings: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var reports reports
				g := newGaps(time.Second, reports.take)
				for _, n := range test.numbers {
					g.take("t", place{numbering: 9, number: n}, nil)
				}
				time.Sleep(999 * time.Millisecond) // of a bubble: takes no time
				synctest.Wait()
				assert.Empty(t, reports.told(), "within the grace period")
				time.Sleep(time.Millisecond)
				synctest.Wait()
				assert.Equal(t, test.gaps, strings.Join(reports.told(), " "))
				assert.Equal(t, test.counts, g.counted())
				g.settle()
				assert.Equal(t, test.counts, g.counted(), "told once")
			})
		})
	}
}

func TestGaps_WithoutGraceTheyAreToldAtOnce(t *testing.T) {
	t.Parallel()
	var reports reports
	g := newGaps(0, reports.take)
	for _, n := range []uint64{1, 3, 2, 4} {
		g.take("t", place{number: n}, nil)
	}
	assert.Equal(t, []string{"2-2"}, reports.told())
	assert.False(t, g.take("t", place{number: 2}, nil), "what was reported as missing is not handled any more")
	assert.Equal(t, GapCounts{Gaps: 1, Missing: 1, Duplicates: 2, Numberings: 1}, g.counted())
	assert.True(t, g.take("t", place{numbering: 1, number: 1}, nil), "the publisher began anew, which is no gap")
	assert.True(t, g.take("u", place{number: 8}, nil), "another topic")
	assert.Len(t, reports.told(), 1)
	g.keep(func(common string) bool { return common == "u" })
	assert.True(t, g.take("t", place{number: 9}, nil), "not subscribed to meanwhile")
	assert.True(t, g.take("u", place{number: 10}, nil))
	assert.Equal(t, []string{"2-2", "9-9"}, reports.told())
}

func TestGaps_AreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reports reports
		g := newGaps(time.Hour, reports.take)
		for n := uint64(1); n <= 2*(maxSpans+3)+1; n += 2 { // each with a gap behind it
			g.take("t", place{number: n}, nil)
		}
		assert.Equal(t, []string{"2-2", "4-4", "6-6"}, reports.told(), "the oldest are told early")
		for n := range uint64(maxNumberings + 5) {
			g.take("t", place{numbering: n + 1, number: 1}, nil)
		}
		assert.LessOrEqual(t, len(g.tracks), maxNumberings)
		g.settle()
		assert.Len(t, reports.told(), maxSpans+3, "each is told, whatever else")
	})
}

// Whatever is lost, doubled and out of order: each number is handled at most once, and each that is not handled is told.
func TestGaps_Model(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			missing := map[uint64]bool{}
			g := newGaps(time.Second, func(e *GapError, _ *socket.Peer) {
				mu.Lock()
				defer mu.Unlock()
				for n := e.From; n <= e.To; n++ {
					require.False(t, missing[n], "seed %d: %d told twice", seed, n)
					missing[n] = true
				}
			})
			const last = 300
			var sent []uint64
			for n := uint64(2); n < last; n++ {
				for range random.IntN(3) {
					sent = append(sent, n)
				}
			}
			for i := range sent { // out of order, by a little
				j := min(len(sent)-1, i+random.IntN(5))
				sent[i], sent[j] = sent[j], sent[i]
			}
			handled := map[uint64]bool{}
			for _, n := range append(append([]uint64{1}, sent...), last) {
				if g.take("t", place{number: n}, nil) {
					require.False(t, handled[n], "seed %d: %d twice", seed, n)
					handled[n] = true
				}
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // of a bubble
			}
			g.settle()
			for n := uint64(1); n <= last; n++ {
				require.NotEqual(t, handled[n], missing[n], "seed %d: %d", seed, n)
			}
		})
	}
}

func TestCommonOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		topic  string
		levels int
		want   string
	}{
		{"a.b.c", 0, "a.b.c"}, {"a.b.c", 1, "a."}, {"a.b.c", 2, "a.b."}, {"a.b.c", 3, "a.b.c"}, {"a.b.c", 9, "a.b.c"}, {"a", 1, "a"},
	} {
		assert.Equal(t, test.want, commonOf(test.topic, test.levels), "%v", test)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add(place{3, 4, 5}.append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := parsePlace(frame)
		if err != nil {
			assert.ErrorIs(t, err, patterns.ErrMalformed)
			return
		}
		assert.Equal(t, frame, p.append(nil))
	})
}

// BenchmarkTake fails if an event that comes in its order costs an allocation.
func BenchmarkTake(b *testing.B) {
	g, n := newGaps(time.Second, nil), uint64(0)
	topic := "orders.eu.created"
	one := func() {
		n++
		g.take(commonOf(topic, 1), place{1, 2, n}, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n > 0 {
		b.Fatalf("%v allocations per event, want none", n)
	}
}
