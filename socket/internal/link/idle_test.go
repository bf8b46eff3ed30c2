package link

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// tcpPair returns two ends of a connection whose descriptor can be tried.
func tcpPair(t *testing.T) (near *Conn, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	conn, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { far.Close(); conn.Close() })
	near = NewConn(conn)
	if near.wait == nil {
		t.Skip("buffers of idle peers are given up only where descriptors can be tried, which this system has not")
	}
	return near, far
}

// A peer that sends commands only holds no buffer while it is waited for; one that sends messages keeps its own, until it is
// idle again.
func TestIn_IdlePeersHoldNoBuffer(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	in := NewIn(near, nil, 1<<20)
	commands := 0
	in.Command = func(_, _ []byte) error { commands++; return nil }
	say := func(octets []byte) Batch {
		t.Helper()
		_, err := far.Write(octets)
		require.NoError(t, err)
		b, err := in.Fill(true)
		require.NoError(t, err)
		return b
	}
	ping := zmtp.AppendPing(nil, 0, nil)
	assert.Nil(t, in.buf)
	for range 3 {
		say(ping)
		assert.Nil(t, in.buf)
	}
	hi := []byte("\x00\x02hi")
	first := say(hi)
	assert.Nil(t, in.buf, "a word is not much")
	for range 3 {
		require.Equal(t, 1, say(hi).Msgs)
		assert.NotNil(t, in.buf)
	}
	assert.Equal(t, hi, first.data, "what is given up is not what messages lie in")
	say(ping)
	assert.NotNil(t, in.buf, "one command says little")
	say(ping)
	assert.Nil(t, in.buf)
	assert.Equal(t, 5, commands)
	require.Equal(t, 1, say(hi).Msgs)
	assert.Nil(t, in.buf)
	say(ping)
	assert.Nil(t, in.buf)
}

// A message of several frames, a large one among them, has the others in the buffer.
func TestIn_IdlePeersSayLargeWords(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	in := NewIn(near, nil, 1<<20)
	in.Command = func(_, _ []byte) error { return nil }
	body := make([]byte, inlineBody+1)
	octets := append(zmtp.AppendHeader([]byte("\x01\x02hi"), zmtp.FlagMore, len(body)), body...)
	written := make(chan error, 1)
	go func() {
		_, err := far.Write(append(octets, "\x00\x02ho"...))
		written <- err
	}()
	b, err := in.Fill(true)
	require.NoError(t, err)
	for b.Msgs == 0 {
		b, err = in.Fill(true)
		require.NoError(t, err)
	}
	require.NoError(t, <-written)
	lent := idleChunks.Get().(*[firstChunk]byte)
	clear(lent[:])
	idleChunks.Put(lent)
	var slab Slab
	frames, _ := b.Next(&slab, 0)
	assert.Equal(t, [][]byte{[]byte("hi"), body, []byte("ho")}, frames)
}

// What came with the handshake is a first word too, and what follows on its heels is not lost.
func TestIn_IdleAfterEarlyMessages(t *testing.T) {
	t.Parallel()
	for _, early := range []string{"\x00\x02hi", "\x00\x02hi\x00", "\x00", "\x00\x02h"} {
		near, far := tcpPair(t)
		in := NewIn(near, []byte(early), 1<<20)
		rest := ("\x00\x02hi\x00\x02ho")[len(early):]
		_, err := far.Write([]byte(rest))
		require.NoError(t, err)
		var slab Slab
		var got []string
		for len(got) < 2 {
			b, err := in.Fill(true)
			require.NoError(t, err)
			for b.Msgs > 0 {
				frames, _ := b.Next(&slab, 0)
				got = append(got, string(frames[0]))
			}
		}
		assert.Equal(t, []string{"hi", "ho"}, got, "%q", early)
	}
}

// What came in part stays, however idle the peer is.
func TestIn_IdlePeersLoseNothing(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	in := NewIn(near, nil, 1<<20)
	in.Command = func(_, _ []byte) error { return nil }
	ping := string(zmtp.AppendPing(nil, 0, nil))
	stream := ping + ping + "\x00\x05hello" + ping + ping + ping + "\x01\x01a\x00\x01b" + ping
	go func() {
		for i := range len(stream) {
			if _, err := far.Write([]byte{stream[i]}); err != nil {
				return
			}
		}
	}()
	var slab Slab
	var got []string
	for len(got) < 3 {
		b, err := in.Fill(true)
		require.NoError(t, err)
		for b.Msgs > 0 {
			frames, _ := b.Next(&slab, 0)
			for _, f := range frames {
				got = append(got, string(f))
			}
		}
	}
	assert.Equal(t, []string{"hello", "a", "b"}, got)
}

// Whoever waits without a buffer is woken by a deadline, an interrupt and the end of the connection.
func TestIn_IdleWaitsEnd(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	in := NewIn(near, nil, 1<<20)
	in.Interrupt()
	_, err := in.Fill(true)
	timeout, ok := err.(net.Error)
	require.True(t, ok, "%v", err)
	assert.True(t, timeout.Timeout())
	assert.Nil(t, in.buf)
	require.NoError(t, near.SetReadDeadline(time.Time{}))
	require.NoError(t, far.Close())
	_, err = in.Fill(true)
	require.Error(t, err)
	assert.Nil(t, in.buf)
}
