package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// script returns count messages of up to frames frames below size bytes, and what goes over the wire.
func script(rnd *rand.Rand, count, frames, size int) (messages [][][]byte, wire []byte) {
	for range count {
		m := make([][]byte, 1+rnd.IntN(frames))
		for j := range m {
			m[j] = make([]byte, rnd.IntN(size))
			for k := range m[j] {
				m[j][k] = byte(rnd.Uint32())
			}
			flags := byte(zmtp.FlagMore)
			if j == len(m)-1 {
				flags = 0
			}
			wire = zmtp.AppendFrame(wire, flags, m[j])
		}
		messages = append(messages, m)
	}
	return messages, wire
}

// Whatever is given back, and in which order, a message that is not keeps its bytes.
func TestShare_KeptMessagesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	tests := []struct{ count, frames, size int }{
		{20_000, 1, 20}, {5_000, 1, 200}, {5_000, 4, 30}, {500, 1, 3000}, {200, 3, 40 << 10}, {30_000, 1, 2}, {300, 200, 3},
	}
	for i, tt := range tests {
		for _, keep := range []int{0, 3, 1000} {
			t.Run(fmt.Sprintf("%d of up to %d frames below %d, of %d one kept", tt.count, tt.frames, tt.size, keep), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(uint64(i), uint64(keep)))
				want, wire := script(rnd, tt.count, tt.frames, tt.size)
				in := NewIn(NewConn(&scripted{data: wire, steps: []byte{250, 3, 120, 255, 0, 255}}), nil, 1<<20)
				in.reuse.Store(true)
				type held struct {
					n      int
					frames [][]byte
					lease  *Lease
				}
				var kept, window []held
				var slab Slab
				give := func(h held) {
					if keep > 0 && rnd.IntN(keep) == 0 {
						kept = append(kept, h)
						return
					}
					for _, f := range h.frames {
						clear(f) // whoever gives a message back has done with it
					}
					h.lease.Release(h.frames)
					if rnd.IntN(10) == 0 {
						h.lease.Release(h.frames)
					}
				}
				var b Batch
				for n := range want {
					for b.Msgs == 0 {
						var err error
						b, err = in.Fill(true)
						require.NoError(t, err)
					}
					frames, _ := b.Next(&slab, 0)
					require.Equal(t, len(want[n]), len(frames))
					for j := range frames {
						require.True(t, bytes.Equal(want[n][j], frames[j]), "message %d, frame %d", n, j)
					}
					window = append(window, held{n, frames, b.Lease})
					for len(window) > rnd.IntN(40) {
						k := rnd.IntN(len(window))
						give(window[k])
						window[k] = window[len(window)-1]
						window = window[:len(window)-1]
					}
				}
				for _, h := range kept {
					for j := range h.frames {
						require.True(t, bytes.Equal(want[h.n][j], h.frames[j]), "message %d, frame %d", h.n, j)
					}
				}
			})
		}
	}
}

// chunksOf receives count messages of size bytes, gives them to done, and returns the number of different chunks they lay in.
func chunksOf(t *testing.T, count, size int, done func(n int, l *Lease, frames [][]byte)) int {
	t.Helper()
	var wire []byte
	for range count {
		wire = zmtp.AppendFrame(wire, 0, make([]byte, size))
	}
	in := NewIn(NewConn(&scripted{data: wire}), nil, 1<<20)
	seen := map[*byte]bool{}
	var b Batch
	var slab Slab
	for n := range count {
		for b.Msgs == 0 {
			var err error
			b, err = in.Fill(true)
			require.NoError(t, err)
			seen[&in.buf[0]] = true
		}
		frames, _ := b.Next(&slab, 0)
		done(n, b.Lease, frames)
	}
	return len(seen)
}

// A receiver that gives all back reads into the same chunk again and again, however many messages lie in it.
func TestShare_ChunkServesAgain(t *testing.T) {
	t.Parallel()
	for _, size := range []int{16, 100, 1000, 30_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			count := (16 << 20) / (size + 24)
			all := chunksOf(t, count, size, func(_ int, l *Lease, frames [][]byte) { l.Release(frames) })
			none := chunksOf(t, count, size, func(int, *Lease, [][]byte) {})
			assert.Less(t, all, none/2)
		})
	}
}

// A message that went through other hands, and lost frames there, is given back by what is left of it: no more than that is used again.
func TestShare_PartOfAMessage(t *testing.T) {
	t.Parallel()
	s := newShare(make([][]byte, 128))
	a, b := s.take(3, nil, nil), s.take(1, nil, nil)
	s.cut = 1
	s.taken.Add(1)
	s.release(b)
	s.release(a[1:])
	s.release(append([][]byte{nil}, a...))
	s.release(nil)
	assert.False(t, s.done())
	s.release(a[:1]) // its capacity is that of the message
	assert.True(t, s.done())
}

func TestShare_MessagesOfAChunkAreGivenBackByManyGoroutines(t *testing.T) {
	t.Parallel()
	const workers = 4
	var wg sync.WaitGroup
	work := make(chan func(), 64)
	for range workers {
		wg.Go(func() {
			for f := range work {
				f()
			}
		})
	}
	chunksOf(t, 100_000, 50, func(n int, l *Lease, frames [][]byte) {
		work <- func() {
			for i := range frames[0] {
				frames[0][i] = byte(n)
			}
			l.Release(frames)
		}
	})
	close(work)
	wg.Wait()
}

// The buffer that an idle peer has for a moment is another's afterwards: no message of this one may come to lie in it.
func TestShare_BuffersOfIdlePeersAreNotChunks(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	in := NewIn(near, nil, 1<<20)
	in.Command = func(_, _ []byte) error { return nil }
	say := func(octets []byte) Batch {
		for first := range slices.Chunk(octets, 400) {
			_, err := far.Write(first)
			require.NoError(t, err)
			if octets = octets[len(first):]; len(octets) > 0 {
				require.NoError(t, in.read(true))
			}
		}
		b, err := in.Fill(true)
		require.NoError(t, err)
		return b
	}
	var slab Slab
	b := say([]byte("\x00\x02hi"))
	frames, _ := b.Next(&slab, 0)
	b.Lease.Release(frames)
	for range 2 {
		say(zmtp.AppendPing(nil, 0, nil))
	}
	for range 2 { // larger than the buffer
		say(zmtp.AppendFrame(nil, zmtp.FlagCommand, append([]byte("\x03FOO"), make([]byte, 5000)...)))
		assert.Nil(t, in.buf)
	}
	var kept [][][]byte
	body := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 600) }
	for i := range 60 {
		b := say(zmtp.AppendFrame(nil, 0, body(i)))
		require.Equal(t, 1, b.Msgs)
		frames, _ := b.Next(&slab, 0)
		kept = append(kept, frames)
	}
	for i, frames := range kept {
		assert.Equal(t, body(i), frames[0])
	}
}
