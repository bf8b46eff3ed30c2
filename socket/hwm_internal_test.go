package socket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// TestRecvHWM_WakesThePumpItHasStopped, and no other: with a mark of one each message takes the inbox to it and back.
func TestRecvHWM_WakesThePumpItHasStopped(t *testing.T) {
	t.Parallel()
	s := NewPull(WithRecvHWM(1))
	defer s.Close()
	p := newPipe(&s.core, "inproc://x", nil)
	pass := func() {
		s.receiver.deliver(p, link.One([]byte{1}))
		require.True(t, p.paused.Load())
	}
	pass()
	_, err := s.Recv(context.Background())
	require.NoError(t, err)
	assert.False(t, p.paused.Load())
	assert.Empty(t, p.turn, "the pump leaves reading to callers of Recv")

	pass()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.stop()
	}()
	require.Eventually(t, p.stopped.Load, sockettest.Timeout, time.Millisecond)
	_, err = s.Recv(context.Background())
	require.NoError(t, err)
	<-stopped
}
