package route

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
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

// inOrder copies messages to where they are read one after another, which takes next to nothing: a publisher has just made its message.
func inOrder(names [][]byte) [][]byte {
	all := bytes.Join(names, nil)
	out := make([][]byte, len(names))
	for i, name := range names {
		out[i], all = all[:len(name):len(name)], all[len(name):]
	}
	return out
}

func benchmarkMatch(b *testing.B, t *Topics[int], names [][]byte, want int) {
	names = inOrder(names)
	dst := make([]int, 0, want)
	i := 0
	match := func() {
		dst = t.AppendMatch(dst[:0], names[i])
		if i++; i == len(names) {
			i = 0
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		match()
	}
	if len(dst) != want {
		b.Errorf("%d pipes match, want %d", len(dst), want)
	}
	if n := testing.AllocsPerRun(100, match); n > 0 {
		b.Errorf("%v allocations for each message, want none", n)
	}
}

// curve runs a benchmark for growing numbers of subscriptions; the largest take a while to be made.
func curve(b *testing.B, run func(b *testing.B, n int)) {
	for _, n := range []int{1, 100, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if n > 100_000 && os.Getenv("CI") != "" {
				b.Skip("a smoke test")
			}
			run(b, n)
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	curve(b, func(b *testing.B, n int) {
		names := topicsOf(n)
		benchmarkMatch(b, spread(names), names, 1)
	})
}

// BenchmarkMatchShuffled has messages in another order than subscriptions, and so their memory in no order.
func BenchmarkMatchShuffled(b *testing.B) {
	curve(b, func(b *testing.B, n int) {
		names := topicsOf(n)
		t := spread(names)
		rand.Shuffle(n, func(i, k int) { names[i], names[k] = names[k], names[i] })
		benchmarkMatch(b, t, names, 1)
	})
}

func BenchmarkMatchNone(b *testing.B) {
	curve(b, func(b *testing.B, n int) {
		benchmarkMatch(b, spread(topicsOf(n)), topicsOf(n + 1)[:min(n, 1000)], 0)
	})
}

// BenchmarkMatchLength has 100,000 topics of one length, or of all lengths from 1 to 200, and messages that are longer, in any order.
func BenchmarkMatchLength(b *testing.B) {
	for _, length := range []int{8, 32, 200, 0 /* mixed */} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(0, 0))
			topics, names := &Topics[int]{}, make([][]byte, 100_000)
			for i := range names {
				name := make([]byte, 250)
				for k := range name {
					name[k] = byte('a' + rnd.IntN(26))
				}
				n := length
				if n == 0 {
					n = 1 + rnd.IntN(200)
				}
				topics.Subscribe(0, name[:n])
				names[i] = name
			}
			rand.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
			benchmarkMatch(b, topics, names, 1)
		})
	}
}

// BenchmarkMatchPipes has many pipes that want a message.
func BenchmarkMatchPipes(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var t Topics[int]
			for i := range n {
				t.Subscribe(i, nil)
			}
			benchmarkMatch(b, &t, topicsOf(1), n)
		})
	}
}

// BenchmarkMatchHostile has a message of 1 KiB and a peer with a topic of each length, which begins as the message does for some bytes.
func BenchmarkMatchHostile(b *testing.B) {
	for _, same := range []int{0, 32, 128, 1024} {
		b.Run(fmt.Sprint(same), func(b *testing.B) {
			var t Topics[int]
			topic := append(bytes.Repeat([]byte{'a'}, same), bytes.Repeat([]byte{'b'}, 1024-same)...)
			for n := range 1024 {
				t.Subscribe(0, topic[:n+1])
			}
			message := append(bytes.Repeat([]byte{'a'}, same), bytes.Repeat([]byte{'c'}, 1024-same)...)
			benchmarkMatch(b, &t, [][]byte{message}, min(same, 1))
		})
	}
}

// BenchmarkSubscribe takes a subscription back and makes it again, so that each turn is two operations.
func BenchmarkSubscribe(b *testing.B) {
	curve(b, func(b *testing.B, n int) {
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

// BenchmarkSubscribeNew makes subscriptions, growth included, and reports the memory that each takes.
func BenchmarkSubscribeNew(b *testing.B) {
	curve(b, func(b *testing.B, n int) {
		names := topicsOf(n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		t := spread(names)
		runtime.GC()
		runtime.ReadMemStats(&after)
		for b.Loop() {
			t = spread(names)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/topic")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/topic")
		runtime.KeepAlive(t)
	})
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
