package route

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// topicsOf returns n topics of 32 bytes as services choose them: a common beginning, then a key.
func topicsOf(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(uint64(n), 0))
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, "orders.%08x.%015x.", rnd.Uint32(), rnd.Uint64()>>4)
	}
	return out
}

// spread subscribes a pipe in four to each topic.
func spread(topics [][]byte) *Topics[int] {
	t := &Topics[int]{}
	for i, topic := range topics {
		t.Subscribe(i%4, topic)
	}
	return t
}

// DESIGN: routing a message allocates nothing.
func TestNoAllocations(t *testing.T) {
	names := topicsOf(1000)
	topics := spread(names)
	topics.Subscribe(9, nil)
	var set Prefixes
	set.Add(names[7])
	var r RoundRobin[int]
	var table Table[int]
	for i := range 4 {
		r.Add(i)
	}
	table.Add(string(names[7]), 7)
	dst := make([]int, 0, 8)
	exact := make([]int, 0, 8)
	pipes := 0
	for name, do := range map[string]func(){
		"RoundRobin": func() { r.Next(); r.Deactivate(2); r.Activate(2) },
		"Table":      func() { table.Get(names[7]) },
		"Match":      func() { topics.Match(names[7], func(p int) { pipes += p }) },
		"Append":     func() { dst = topics.AppendMatch(dst[:0], names[7]) },
		"Exact":      func() { exact = topics.AppendExact(exact[:0], names[7]) },
		"Prefixes":   func() { set.Match(names[7]) },
		"again":      func() { topics.Subscribe(3, names[7]); topics.Unsubscribe(3, names[7]) },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	assert.ElementsMatch(t, []int{3, 9}, dst)
}

func BenchmarkNext(b *testing.B) {
	var r RoundRobin[*int]
	for range 100 {
		r.Add(new(int))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Next()
	}
}

func BenchmarkTurnOver(b *testing.B) {
	var r FairQueue[int]
	for i := range 100 {
		r.Add(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		p, _ := r.Next()
		r.Deactivate(p)
		r.Activate(p)
	}
}

func BenchmarkMatch(b *testing.B) {
	b.Run("all", func(b *testing.B) {
		var t Topics[int]
		t.Subscribe(1, nil)
		benchmarkMatch(b, &t, topicsOf(1))
	})
	for _, n := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := topicsOf(n)
			benchmarkMatch(b, spread(names), names)
		})
	}
	b.Run("1000-pipes", func(b *testing.B) {
		names := topicsOf(1)
		var t Topics[int]
		for i := range 1000 {
			t.Subscribe(i, names[0])
		}
		benchmarkMatch(b, &t, names)
	})
}

func benchmarkMatch(b *testing.B, t *Topics[int], names [][]byte) {
	var dst []int
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		dst = t.AppendMatch(dst[:0], names[i])
		if i++; i == len(names) {
			i = 0
		}
	}
	if len(dst) == 0 {
		b.Error("no match")
	}
}

// BenchmarkSubscribe takes a subscription back and makes it again, so that each turn is two operations.
func BenchmarkSubscribe(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := topicsOf(n)
			t := spread(names)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				t.Unsubscribe(i%4, names[i])
				t.Subscribe(i%4, names[i])
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkRemovePipe(b *testing.B) {
	names := topicsOf(100_000)
	t := spread(names)
	b.ReportAllocs()
	for b.Loop() {
		for i := range 100 {
			t.Subscribe(9, names[i*100])
		}
		t.RemovePipe(9, nil)
	}
}
