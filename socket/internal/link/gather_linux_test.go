package link

import (
	"bytes"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

// TestTryWriteAll_PartsInOrder: as far as there is room, whatever part that ends in, and without a wait.
func TestTryWriteAll_PartsInOrder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer dialed.Close()
	peer, err := l.Accept()
	require.NoError(t, err)
	defer peer.Close()
	c := NewConn(dialed)

	var parts [][]byte
	for i := range maxParts + 3 {
		parts = append(parts, bytes.Repeat([]byte{byte(i)}, 1+1000*i))
	}
	all := bytes.Join(parts, nil)
	n, err := c.gather.TryWriteAll(parts)
	require.NoError(t, err)
	require.Equal(t, total(parts[:maxParts]), n)
	var sent []byte
	for err == nil { // until there is no more room
		sent = append(sent, all[:n]...)
		n, err = c.gather.TryWriteAll(parts)
	}
	require.ErrorIs(t, err, transport.ErrWouldBlock)
	got := make([]byte, len(sent))
	require.NoError(t, peer.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = io.ReadFull(peer, got)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))

	dialed.Close()
	_, err = c.gather.TryWriteAll(parts)
	assert.ErrorIs(t, err, net.ErrClosed)
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
