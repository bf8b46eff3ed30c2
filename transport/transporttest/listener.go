package transporttest

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

func (k kit) testListenerClose(t *testing.T) {
	ln := k.listen(t)
	accept := func() error {
		conn, err := ln.Accept()
		assert.Nil(t, conn)
		return err
	}
	first, second := start(accept), start(accept)
	require.NoError(t, ln.Close())
	for _, err := range []error{<-first, <-second, accept()} {
		require.ErrorIs(t, err, net.ErrClosed)
		assert.Contains(t, err.Error(), ln.Endpoint())
	}
	assert.NoError(t, ln.Close(), "closing again does nothing")
}

func (k kit) testListenerCloseKeepsConns(t *testing.T) {
	ln := k.listen(t)
	a, b := k.connect(t, ln)
	require.NoError(t, ln.Close())
	_, err := a.Write([]byte("alive"))
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(b, got)
	require.NoError(t, err)
	assert.Equal(t, "alive", string(got))
}

// testBacklog has a dialer that the listener never came to accept: it must not wait for ever.
func (k kit) testBacklog(t *testing.T) {
	ln := k.listen(t)
	conn, err := k.dial(context.Background(), ln.Endpoint())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, ln.Close())
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	timeout, ok := err.(net.Error)
	assert.False(t, ok && timeout.Timeout(), "got %v, want a closed connection", err)
}

// testRebind binds an address again while a connection of its last listener is still there.
func (k kit) testRebind(t *testing.T) {
	ln := k.listen(t)
	endpoint := ln.Endpoint()
	for range 10 {
		dialled, accepted := k.connect(t, ln)
		require.NoError(t, accepted.Close())
		require.NoError(t, ln.Close())
		ln = k.listenAt(t, endpoint)
		require.Equal(t, endpoint, ln.Endpoint())
		k.connect(t, ln)
		require.NoError(t, dialled.Close())
	}
}

func (k kit) testAddressInUse(t *testing.T) {
	ln := k.listen(t)
	second, err := k.tryListen(ln.Endpoint())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.Nil(t, second)
	assert.Equal(t, "bind "+ln.Endpoint()+": address already in use", err.Error())
	// Finding out may have cost the first listener a connection that ends at once.
	conn, err := k.dial(context.Background(), ln.Endpoint())
	require.NoError(t, err, "the first listener goes on")
	conn.Close()
}

func (k kit) testRealAddress(t *testing.T) {
	ln := k.listen(t)
	for _, parse := range []func(string) (transport.Endpoint, error){transport.ParseBind, transport.ParseConnect} {
		e, err := parse(ln.Endpoint())
		require.NoError(t, err)
		assert.Equal(t, ln.Endpoint(), e.String(), "the address is in canonical form")
	}
	assert.NotContains(t, ln.Endpoint(), "*")
	a, b := k.connect(t, ln)
	assert.NotNil(t, a.LocalAddr())
	assert.NotNil(t, a.RemoteAddr())
	assert.Equal(t, b.LocalAddr().String(), a.RemoteAddr().String())
}

// testDialReleased bounds the wait, because a transport may wait for a listener to come.
func (k kit) testDialReleased(t *testing.T) {
	ln := k.listen(t)
	require.NoError(t, ln.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := k.dial(ctx, ln.Endpoint())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "dial "+ln.Endpoint()+": ")
}
