package socket

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
)

// As soon as a peer is attached a caller of Recv may be the one who reads a PING that came right behind READY.
func TestAttach_ReadyForCommands(t *testing.T) {
	t.Parallel()
	bind, err := transport.ParseBind("inproc://" + t.Name())
	require.NoError(t, err)
	ln, err := bind.Listen(t.Context())
	require.NoError(t, err)
	defer ln.Close()
	connect, err := transport.ParseConnect("inproc://" + t.Name())
	require.NoError(t, err)
	far, err := connect.Dial(t.Context())
	require.NoError(t, err)
	defer far.Close()
	near, err := ln.Accept()
	require.NoError(t, err)

	s := NewPull()
	defer s.Close()
	p := newPipe(&s.core, "inproc://"+t.Name(), nil)
	pumped, err := p.attach(link.NewConn(near), &Peer{minor: 1}, []byte("\x04\x08\x04PING\x00\x00x"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Recv(ctx)
	require.ErrorIs(t, err, context.Canceled)
	pong := make([]byte, 8)
	_, err = io.ReadFull(far, pong)
	require.NoError(t, err)
	assert.Equal(t, "\x04\x06\x04PONGx", string(pong))
	p.detach(pumped)
}
