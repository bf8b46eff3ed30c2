package link

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// reader reads a stream with commands in it.
func reader(data []byte) *In {
	in := NewIn(NewConn(&scripted{data: data}), nil, 1<<20)
	in.Command = func(_, _ []byte) error { return nil }
	return in
}

// next reads the next message.
func next(t *testing.T, in *In) (Batch, [][]byte) {
	t.Helper()
	var b Batch
	for b.Msgs == 0 { // else commands came
		var err error
		b, err = in.Fill(true)
		require.NoError(t, err)
	}
	var slab Slab
	frames, _ := b.Next(&slab, 0)
	return b, frames
}

func TestLease_MemoryIsUsedAgain(t *testing.T) {
	t.Parallel()
	const size, messages = 100 << 10, 100
	var sizes [][]int
	for range messages {
		sizes = append(sizes, []int{size, 10, size + 1})
	}
	in := reader(stream(sizes...))
	seen := map[*byte]bool{}
	again := 0
	for range messages {
		b, frames := next(t, in)
		require.Len(t, frames, 3)
		if seen[&frames[0][0]] {
			again++
		}
		seen[&frames[0][0]] = true
		b.Lease.Release(frames)
		b.Lease.Release(frames) // only once: else two messages would share memory
	}
	assert.Positive(t, again) // the pool is free to drop some
}

func TestLease_KeptMemoryIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	in := reader(stream([]int{100 << 10}, []int{100 << 10}, []int{100 << 10}))
	b, frames := next(t, in)
	b.Lease.Release(frames)
	_, kept := next(t, in)
	want := bytes.Clone(kept[0])
	_, other := next(t, in)
	clear(other[0])
	assert.True(t, bytes.Equal(want, kept[0]))
	assert.Equal(t, len(kept[0]), cap(kept[0]))
}

// asked notes how many bytes each read asks for.
type asked struct {
	scripted
	reads []int
}

func (c *asked) Read(p []byte) (int, error) {
	c.reads = append(c.reads, len(p))
	return c.scripted.Read(p)
}

// TestIn_LargeBodiesAreReadWhereTheyStay: once a peer sends large bodies, no part of them is read into a chunk and moved.
func TestIn_LargeBodiesAreReadWhereTheyStay(t *testing.T) {
	t.Parallel()
	const size, header = 300 << 10, 9
	var data []byte
	for _, flags := range []byte{0, 0, zmtp.FlagMore, 0} {
		data = append(zmtp.AppendHeader(data, flags, size), make([]byte, size)...)
	}
	c := &asked{scripted: scripted{data: data}}
	in := NewIn(NewConn(c), nil, 1<<20)
	_, frames := next(t, in)
	require.Len(t, frames[0], size)
	c.reads = nil
	for range 2 {
		_, frames = next(t, in)
		require.Len(t, frames[0], size)
	}
	require.Len(t, frames, 2)
	assert.Equal(t, []int{header, size, header, size, header, size}, c.reads)
}
