package link

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the sizes of reads, the bytes arrive in order, and no sooner is a read there than it is a message.
func TestRaw_ReadsAreMessages(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, r.IntN(1<<20))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		steps := make([]byte, 1+r.IntN(20))
		for i := range steps {
			steps[i] = byte(1 + r.IntN(255))
		}
		in := NewIn(NewRawConn(&scripted{data: data, steps: steps}), nil, largeBody<<10)
		var got []byte
		var slab Slab
		for {
			b, err := in.Fill(true)
			if err != nil {
				require.ErrorIs(t, err, net.ErrClosed)
				break
			}
			require.Equal(t, 1, b.Msgs)
			frames, size := b.Next(&slab, 1)
			require.Len(t, frames, 2)
			require.NotZero(t, size)
			got = append(got, frames[1]...)
		}
		require.True(t, bytes.Equal(data, got))
	}
}

// However little a write takes, what goes out are the bodies alone.
func TestRaw_WritesBodies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 4))
		q := newQueue()
		s := &sink{room: -1, shy: r.IntN(2) == 0}
		var want []byte
		send := func() {
			for _, body := range message(r, 0) {
				if len(body) == 0 {
					continue
				}
				want = append(want, body...)
				if _, flush := q.Append(nil, [][]byte{body}, len(body)); flush || r.IntN(5) == 0 {
					q.Flush()
				}
			}
		}
		for range r.IntN(5) {
			send()
		}
		q.Attach(NewRawConn(s))
		q.pumped = make(chan struct{})
		go func() {
			defer close(q.pumped)
			q.Pump()
		}()
		for range r.IntN(50) {
			send()
		}
		q.empty()
		require.Zero(t, q.detach(false))
		require.True(t, bytes.Equal(want, s.got))
	}
}

// What a connection that fails did not take whole counts as lost.
func TestRaw_CountsWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, room := range []int{0, 5, 10, 15, 25} {
		q := newQueue()
		for range 3 {
			q.Append(nil, [][]byte{make([]byte, 10)}, 10)
		}
		s := &sink{room: room}
		q.Attach(NewRawConn(s))
		q.pumped = make(chan struct{})
		q.Flush()
		go func() {
			defer close(q.pumped)
			q.Pump()
		}()
		require.Equal(t, 3-room/10, q.detach(false), "%d bytes written", room)
	}
}
