package socket

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// An application that is always a little behind never empties the inbox. That must not make it grow.
func TestReceiver_InboxOfASlowReaderStaysSmall(t *testing.T) {
	t.Parallel()
	s := NewPull()
	defer s.Close()
	p := newPipe(&s.core, "inproc://x", nil)
	s.receiver.deliver(p, link.One([]byte{0}))
	for n := range 100_000 {
		s.receiver.deliver(p, link.One([]byte{byte(n + 1)}))
		m, err := s.Recv(context.Background())
		require.NoError(t, err)
		require.Equal(t, []byte{byte(n)}, m.Frames[0])
	}
	assert.Less(t, cap(p.inbox), 100)
}
