package socket

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
)

// attached returns a pipe of s with a connection, and its far end.
func attached(t *testing.T, s *Pull, early string) (p *pipe, far net.Conn) {
	t.Helper()
	bind, err := transport.ParseBind("inproc://" + t.Name())
	require.NoError(t, err)
	ln, err := bind.Listen(t.Context())
	require.NoError(t, err)
	defer ln.Close()
	connect, err := transport.ParseConnect("inproc://" + t.Name())
	require.NoError(t, err)
	far, err = connect.Dial(t.Context())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	p = newPipe(&s.core, "inproc://"+t.Name(), nil)
	err = p.attach(link.NewConn(near), &Peer{major: 3, minor: 1}, []byte(early))
	require.NoError(t, err)
	t.Cleanup(func() {
		far.Close()
		p.detach(0)
		assert.NoError(t, s.Close())
	})
	return p, far
}

// As soon as a peer is attached a caller of Recv may be the one who reads a PING that came right behind READY.
func TestAttach_ReadyForCommands(t *testing.T) {
	t.Parallel()
	s := NewPull()
	_, far := attached(t, s, "\x04\x08\x04PING\x00\x00x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Recv(ctx)
	require.ErrorIs(t, err, context.Canceled)
	pong := make([]byte, 8)
	_, err = io.ReadFull(far, pong)
	require.NoError(t, err)
	assert.Equal(t, "\x04\x06\x04PONGx", string(pong))
}

// What the peer sent before it knew that we hung up is received, also when the deadline strikes while nobody had the time
// to read it, and when an interrupt comes between.
func TestHangUp_LosesNothingThatIsThere(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(*pipe){
		"deadline":  func(p *pipe) { p.silence = time.Now().Add(-time.Second) },
		"interrupt": func(p *pipe) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewPull()
			p, far := attached(t, s, "")
			_, err := far.Write([]byte("\x00\x04late"))
			require.NoError(t, err)
			p.hangUp(true)
			disturb(p)
			p.in.Load().Interrupt()
			require.NoError(t, far.Close())
			require.NoError(t, p.read())
			m, err := s.Recv(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "late", m.String())
		})
	}
}
