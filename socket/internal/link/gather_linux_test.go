package link

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

// connected returns both ends of a connection over TCP.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	require.NoError(t, far.SetDeadline(time.Now().Add(time.Minute)))
	return near, far
}

// TestTryWriteAll_PartsInOrder: as far as there is room, whatever part that ends in, and without a wait.
func TestTryWriteAll_PartsInOrder(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	c := NewConn(near)

	var parts [][]byte
	for i := range maxParts + 3 {
		parts = append(parts, bytes.Repeat([]byte{byte(i)}, 1+1000*i))
	}
	all := bytes.Join(parts, nil)
	n, err := c.gather.TryWriteAll(parts)
	require.NoError(t, err)
	require.Positive(t, n)
	require.LessOrEqual(t, n, total(parts[:maxParts]))
	var sent []byte
	for err == nil { // until there is no more room
		sent = append(sent, all[:n]...)
		n, err = c.gather.TryWriteAll(parts)
	}
	require.ErrorIs(t, err, transport.ErrWouldBlock)
	got := make([]byte, len(sent))
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))

	near.Close()
	_, err = c.gather.TryWriteAll(parts)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// TestTryWriteAll_NoSocket: what is below a connection of the user's may be something else.
func TestTryWriteAll_NoSocket(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	g := gather{parts: [][]byte{[]byte("one "), []byte("two")}}
	raw, err := w.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Write(g.writeAll))
	require.NoError(t, g.err)
	require.NoError(t, w.Close())
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "one two", string(got))
}

// TestAppend_EnvelopeAndBodyLieTogether: they go out by one write.
func TestAppend_EnvelopeAndBodyLieTogether(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, smallChunk, 2 * smallChunk, largeBody} {
		q := newQueue()
		q.Append([][]byte{make([]byte, 4), nil}, [][]byte{make([]byte, size)}, size)
		assert.Equal(t, 1, len(q.segs), size)
	}
}

// TestTryWriteAll_PeerGone: an error, and no signal.
func TestTryWriteAll_PeerGone(t *testing.T) {
	t.Parallel()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(fds[0])
	require.NoError(t, syscall.Close(fds[1]))
	part := []byte("part")
	g := gather{parts: [][]byte{part, part}}
	assert.True(t, g.writeAll(uintptr(fds[0])))
	assert.ErrorIs(t, g.err, syscall.EPIPE)
}
