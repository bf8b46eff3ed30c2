package link

import (
	"cmp"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Last finds the last message that is wanted, whole, with commands among its frames or none.
func TestBatch_Last(t *testing.T) {
	t.Parallel()
	ping := zmtp.AppendPing(nil, 0, []byte("x"))
	data := []byte("\x00\x01a" + "\x01\x01b")
	data = append(data, ping...)
	data = append(data, "\x01\x00\x00\x02zz\x01\x00\x00\x01c"...)
	for wanted, want := range map[string]struct {
		count  int
		frames [][]byte
	}{
		"all": {3, [][]byte{{}, []byte("c")}}, "a": {1, [][]byte{[]byte("a")}}, "b": {1, [][]byte{[]byte("b"), {}, []byte("zz")}}, "none": {},
	} {
		b := Batch{Msgs: 3, Bytes: 5, data: data}
		filter := func(first []byte) bool { return string(first) == wanted }
		if wanted == "all" {
			filter = nil
		}
		count := b.Last(filter)
		assert.Equal(t, want.count, count, wanted)
		if count > 0 {
			assert.Equal(t, 1, b.Msgs)
			assert.Equal(t, size(want.frames), b.Bytes)
			frames, n := b.Next(&Slab{}, 0)
			assert.Equal(t, want.frames, frames, wanted)
			assert.Equal(t, size(want.frames), n)
		}
	}
	one := One([]byte("a"), []byte("x"))
	assert.Equal(t, 1, one.Last(nil))
	assert.Zero(t, one.Last(func([]byte) bool { return false }))
}

// Keep leaves whole messages, in order, with commands among their frames or none.
func TestBatch_Keep(t *testing.T) {
	t.Parallel()
	ping := zmtp.AppendPing(nil, 0, []byte("x"))
	data := []byte("\x00\x01a" + "\x01\x01b")
	data = append(data, ping...)
	data = append(data, "\x01\x00\x00\x02zz\x01\x00\x00\x01c"...)
	all := [][][]byte{{[]byte("a")}, {[]byte("b"), {}, []byte("zz")}, {{}, []byte("c")}}
	for _, kept := range []string{"ab.", "a", "b", ".", "ab", "a.", "b.", "none"} {
		b := Batch{Msgs: 3, Bytes: 5, data: data}
		var want [][][]byte
		bytes := 0
		for i, first := range []string{"a", "b", "."} {
			if strings.Contains(kept, first) && kept != "none" {
				want = append(want, all[i])
				bytes += size(all[i])
			}
		}
		others := b.Keep(func(first []byte) bool {
			return kept != "none" && strings.Contains(kept, cmp.Or(string(first), "."))
		})
		assert.Equal(t, 3-len(want), others, kept)
		assert.Equal(t, len(want), b.Msgs, kept)
		assert.Equal(t, bytes, b.Bytes, kept)
		for _, message := range want {
			frames, _ := b.Next(&Slab{}, 0)
			assert.Equal(t, message, frames, kept)
		}
	}
	one := One([]byte("a"), []byte("x"))
	assert.Zero(t, one.Keep(func([]byte) bool { return true }))
	assert.Equal(t, 1, one.Msgs)
	assert.Equal(t, 1, one.Keep(func([]byte) bool { return false }))
	assert.Zero(t, one.Msgs)
	assert.Zero(t, one.Keep(func([]byte) bool { return false }))
}

// NextSole takes short messages of one frame and no others, and Left is the size of what Next will return.
func TestBatch_NextSole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b    Batch
		sole bool
		left int
	}{
		{Batch{Msgs: 2, Bytes: 3, data: []byte("\x00\x01a\x00\x02bc")}, true, 2},
		{Batch{Msgs: 2, Bytes: 2, data: []byte("\x01\x01a\x00\x00\x00\x01c")}, false, 1},
		{Batch{Msgs: 1, Bytes: 1, data: []byte("\x02\x00\x00\x00\x00\x00\x00\x00\x01a")}, false, 0},
		{One([]byte("a")), false, 1},
	} {
		assert.Equal(t, c.b.Bytes, c.b.Left())
		var frame []byte
		assert.Equal(t, c.sole, c.b.NextSole(&frame))
		if c.sole {
			assert.Equal(t, "a", string(frame))
			assert.Equal(t, 1, cap(frame))
		} else {
			c.b.Next(&Slab{}, 0)
		}
		assert.Equal(t, c.left, c.b.Left())
	}
}

// A message that is kept holds the chunk that it lies in, and not those of others that came before or after it, nor the large bodies of others.
func TestSlab_KeptMessageHoldsItsOwnChunk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, lead, chunk int }{
		"16 KiB": {16 << 10, 0, maxChunk}, "1 KiB": {1 << 10, 0, maxChunk}, "short": {200, 0, maxChunk}, "short, to a router": {200, 1, maxChunk}, "alone, to a router": {1 << 20, 1, 0},
	} {
		var slab Slab
		var kept [][]byte
		var others []weak.Pointer[byte]
		for i := range 8 {
			var b Batch
			if c.chunk == 0 {
				body := make([]byte, c.size)
				b = One(body)
				if i != 2 {
					others = append(others, weak.Make(&body[0]))
				}
			} else {
				b.data = make([]byte, 0, c.chunk)
				for cap(b.data)-len(b.data) >= c.size+zmtp.MaxHeaderSize {
					b.data = append(zmtp.AppendHeader(b.data, 0, c.size), make([]byte, c.size)...)
					b.Msgs++
				}
				if i != 2 {
					others = append(others, weak.Make(&b.data[0]))
				}
			}
			slab.Turn(&b)
			for n := 0; b.Msgs > 0; n++ {
				frames, _ := b.Next(&slab, c.lead)
				if i == 2 && n == 0 {
					kept = frames
				}
			}
		}
		slab = Slab{}
		runtime.GC()
		for i, o := range others {
			assert.Nil(t, o.Value(), "%s, %d", name, i)
		}
		assert.Len(t, kept[c.lead], c.size)
		runtime.KeepAlive(slab)
	}
}

// Where peers take turns, each message lies in another chunk than the one before: an allocation for each would be as bad as to hold their chunks.
func TestSlab_PeersInTurn(t *testing.T) {
	const peers, each = 8, 240
	for _, frames := range []int{1, 3} {
		var slab Slab
		var queues [peers]Batch
		fill := func() {
			for i := range queues {
				b := Batch{data: make([]byte, 0, chunkSize), Msgs: each}
				for n := range each * frames {
					var more byte
					if (n+1)%frames != 0 {
						more = zmtp.FlagMore
					}
					b.data = append(zmtp.AppendHeader(b.data, more, 50), make([]byte, 50)...)
				}
				queues[i] = b
			}
		}
		fill()
		allocations := testing.AllocsPerRun(1, func() {
			for range each / 2 { // it runs twice
				for i := range queues {
					slab.Turn(&queues[i])
					got, _ := queues[i].Next(&slab, 0)
					if len(got) != frames {
						t.Fatal(len(got))
					}
				}
			}
		})
		assert.LessOrEqual(t, allocations, float64(peers*each/2/10), "messages of %d frames", frames)
	}
}
