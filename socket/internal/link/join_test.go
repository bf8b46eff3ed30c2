package link

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a connection that remembers what each write had, and takes only so much of all if most is not 0.
type recorder struct {
	net.Conn
	writes [][]byte
	most   int
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.most > 0 {
		p = p[:min(len(p), r.most-r.written())]
	}
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) written() int { return len(bytes.Join(r.writes, nil)) }

func (r *recorder) sizes() (sizes []int) {
	for _, w := range r.writes {
		sizes = append(sizes, len(w))
	}
	return sizes
}

// TestJoin_OneWriteForWhatComesTogether: where each write is sealed or framed by itself, up to as much as a copy may be.
func TestJoin_OneWriteForWhatComesTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ parts, writes []int }{
		{[]int{100}, []int{100}},
		{[]int{1 << 10, 9 << 10}, []int{10 << 10}},
		{[]int{smallChunk, chunkSize}, []int{joinBytes}},
		{[]int{smallChunk, chunkSize, chunkSize, 10}, []int{joinBytes, chunkSize + 10}},
		{[]int{smallChunk + 1, chunkSize}, []int{smallChunk + 1, chunkSize}},
		{[]int{9, 1 << 20, 9, 9}, []int{9, 1 << 20, 18}},
	} {
		var parts [][]byte
		for i, n := range c.parts {
			parts = append(parts, bytes.Repeat([]byte{byte(i)}, n))
		}
		r := &recorder{}
		n, err := NewConn(r).join(parts, r.Write)
		require.NoError(t, err)
		assert.Equal(t, r.written(), n)
		assert.True(t, bytes.Equal(bytes.Join(parts, nil), bytes.Join(r.writes, nil)))
		assert.Equal(t, c.writes, r.sizes())
	}
}

// TestJoin_EndsWithTheFirstPartTaken: what comes behind is written after the rest of it.
func TestJoin_EndsWithTheFirstPartTaken(t *testing.T) {
	t.Parallel()
	r := &recorder{most: 150}
	n, err := NewConn(r).join([][]byte{make([]byte, 100), make([]byte, chunkSize+smallChunk), make([]byte, 100)}, r.Write)
	require.NoError(t, err)
	assert.Equal(t, 150, n)
	assert.Equal(t, []int{100, 50}, r.sizes())
}

// TestPump_OneWriteForAFlight: the first message of a burst lies in a chunk of its own, but the peer is not woken for it alone.
func TestPump_OneWriteForAFlight(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	q := newQueue()
	q.Watch()
	q.burst(10)
	q.attach(r)
	<-q.drained
	q.detach(false)
	assert.Equal(t, []int{10 * onWire}, r.sizes())
}
