package socket

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// behind returns a PUSH that has written messages of a kilobyte to a peer, of which that has read none and its system has taken few.
func behind(t *testing.T, messages int) (push *Push, p *pipe, peer *sockettest.RawPeer) {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("the system does not tell what the peer has taken")
	}
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = smallReceiveBuffer(fd) })
		if failed != nil {
			return failed
		}
		return err
	}}
	ln, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	push = NewPush(WithSocketBuffers(1<<20, 0))
	t.Cleanup(func() { _ = push.Close() })
	require.NoError(t, push.Connect("tcp://"+ln.Addr().String()))
	peer = sockettest.AcceptRaw(t, ln)
	peer.Handshake("PULL", 1)
	for i := range messages {
		require.NoError(t, push.Send(sockettest.Limit(t), fmt.Appendf(nil, "%01024d", i)))
	}
	p = push.allPipes()[0]
	p.flush(sockettest.Limit(t))
	left, _ := p.out.Depth()
	require.Zero(t, left)
	return push, p, peer
}

// strike has the silence that a peer is given be over, and returns when that was seen.
func strike(t *testing.T, p *pipe) {
	t.Helper()
	require.Eventually(t, p.hung.Load, sockettest.Timeout, time.Millisecond)
	p.mu.Lock()
	p.silence = time.Now().Add(-time.Second)
	p.mu.Unlock()
	p.in.Load().Interrupt()
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.silence.After(time.Now())
	}, sockettest.Timeout, time.Millisecond)
}

// The end of a socket and the end of a handshake may hang up on one peer, in any order: it has the time that one of them gives.
func TestHangUp_TimeOnceGivenIsKept(t *testing.T) {
	t.Parallel()
	for _, patient := range [][2]bool{{true, false}, {false, true}} {
		_, p, _ := behind(t, 128)
		p.hangUp(patient[0])
		p.hangUp(patient[1])
		p.mu.Lock()
		assert.True(t, p.owesLocked(), patient)
		p.patient = false
		p.mu.Unlock()
	}
}

// A peer that is behind gets all that was written, however long it is silent, and though it says something in the end.
func TestShutdown_PeerReadsLate(t *testing.T) {
	t.Parallel()
	const messages = 128
	push, p, peer := behind(t, messages)
	done := make(chan error, 1)
	go func() { done <- push.Shutdown(context.Background()) }()
	strike(t, p)
	strike(t, p)
	peer.SendCommand("PONG", nil)
	for i := range messages {
		require.Equal(t, fmt.Sprintf("%01024d", i), peer.ReadMessage()[0])
	}
	_, err := peer.Conn().Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	peer.Close()
	require.NoError(t, <-done)
	assert.Zero(t, push.Stats().Untaken)
}

// Once the limit of Shutdown has struck such a peer is given up, which Shutdown, Stats and an event tell.
func TestShutdown_PeerReadsTooLate(t *testing.T) {
	t.Parallel()
	push, p, _ := behind(t, 128)
	events := push.Events(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- push.Shutdown(ctx) }()
	strike(t, p)
	cancel()
	err := <-done
	require.ErrorIs(t, err, ErrTimeout)
	untaken := push.Stats().Untaken
	require.ErrorContains(t, err, fmt.Sprintf("shutdown: %d bytes were sent that peers have not taken", untaken))
	assert.Greater(t, untaken, uint64(16<<10))
	assert.Empty(t, push.Stats().Dropped)
	for e := range events {
		if e.Kind == Disconnected {
			require.ErrorIs(t, e.Err, errUntaken)
			return
		}
	}
	t.Fatal("no event")
}
