package link

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// within connects both ends within the process.
func within(t *testing.T) (near, far net.Conn) {
	t.Helper()
	at, err := transport.ParseBind("inproc://" + t.Name())
	require.NoError(t, err)
	l, err := at.Listen(t.Context())
	require.NoError(t, err)
	to, err := transport.ParseConnect(l.Endpoint())
	require.NoError(t, err)
	near, err = to.Dial(t.Context())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return near, far
}

// TestPass_AChunkThatWasHandedOnIsNotRead: it may be another's when the connection ends with the rest of the flight unwritten.
func TestPass_AChunkThatWasHandedOnIsNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := within(t)
		q := newQueue()
		for range 67 { // a chunk and a few
			q.Append(nil, [][]byte{make([]byte, 1000)}, 1000)
		}
		for range 10 { // of which the connection holds one or two
			var e Encoded
			e.Encode([][]byte{make([]byte, 400_000)})
			q.AppendEncoded(&e, 400_000)
			e.Done()
		}
		q.attach(near)
		q.Wake()
		in := NewIn(NewConn(far), nil, 1<<30)
		in.reuse.Store(true)
		var slab Slab
		for got := 0; got < 67; {
			b, err := in.Fill(true)
			require.NoError(t, err)
			for ; b.Msgs > 0; got++ {
				frames, _ := b.Next(&slab, 0)
				b.Lease.Release(frames)
			}
		}
		synctest.Wait()
		_, _ = in.Fill(false) // leaves the chunk
		synctest.Wait()
		var taken []*[chunkSize]byte
		for range 8 { // and others fill it
			c := chunks.Get().(*[chunkSize]byte)
			copy(c[:], zmtp.AppendHeader(nil, 0, 1<<30))
			taken = append(taken, c)
		}
		require.NoError(t, far.Close())
		require.Zero(t, q.detach(true))
		msgs, bytes := q.Depth()
		assert.Contains(t, []int{8, 9}, msgs)
		assert.Equal(t, msgs*400_000, bytes)
		assert.Len(t, taken, 8)
	})
}
