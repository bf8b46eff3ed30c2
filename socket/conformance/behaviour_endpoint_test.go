package conformance

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Behaviour 63: a wildcard address is unbound by the real one that Bind returned, not by the wildcard; for IPv4 and IPv6.
func TestBehaviour63_UnbindWildcard(t *testing.T) {
	for _, wildcard := range []string{"tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://*:*", "tcp://[::1]:*", "tcp://[::]:0"} {
		t.Run(wildcard, func(t *testing.T) {
			t.Parallel()
			if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
				ln.Close()
			} else if strings.Contains(wildcard, "::") {
				t.Skip("no IPv6 here")
			}
			s := socket.NewRep()
			closing(t, s)
			first, second := bind(t, s, wildcard), bind(t, s, wildcard)
			require.NotEqual(t, first, second)
			require.ErrorIs(t, s.Unbind(wildcard), socket.ErrEndpoint)
			require.NoError(t, s.Unbind(first))
			require.ErrorIs(t, s.Unbind(first), socket.ErrEndpoint, "it was unbound already")
			require.Equal(t, []string{second}, s.Stats().Endpoints)
			other := socket.NewRep()
			closing(t, other)
			bind(t, other, first) // it is free
		})
	}
}

// Behaviour 64: the socket tells the real address of each endpoint that it is bound to.
func TestBehaviour64_LastEndpoint(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		closing(t, pull)
		a, b := bind(t, pull, fresh(transport)), bind(t, pull, fresh(transport))
		require.NotEqual(t, a, b)
		require.ElementsMatch(t, []string{a, b}, pull.Stats().Endpoints)
		for _, endpoint := range []string{a, b} {
			push := socket.NewPush()
			closing(t, push)
			connect(t, push, endpoint)
			send(t, push, "to "+endpoint)
			m := recv(t, pull)
			require.Equal(t, "to "+endpoint, m.String())
			require.Equal(t, endpoint, m.Peer().Endpoint())
		}
	})
}

// Behaviour 65: with Connect first and Bind later, six messages that were sent in between flow.
func TestBehaviour65_BindAfterConnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dealer, router := socket.NewDealer(socket.WithIdentity("d"), swift()), socket.NewRouter()
		closing(t, dealer, router)
		endpoint := unbound(t, transport)
		connect(t, dealer, endpoint)
		for i := range 6 {
			send(t, dealer, fmt.Sprint(i))
		}
		bind(t, router, endpoint)
		for i := range 6 {
			requireRecv(t, router, "d", fmt.Sprint(i))
			send(t, router, "d", fmt.Sprint("re ", i))
			requireRecv(t, dealer, fmt.Sprint("re ", i))
		}
	})
}

// Behaviour 66: Connect refuses a bad host, port or scheme at once.
func TestBehaviour66_ConnectRefusesMalformedEndpoints(t *testing.T) {
	t.Parallel()
	s := socket.NewPub()
	closing(t, s)
	for _, endpoint := range []string{
		"tcp://in val id:1234", "tcp://localhost:invalid", "tcp://localhost:65536", "tcp://localhost:-1", "tcp://localhost", "tcp://:1234", "tcp://", "invalid://localhost:1234",
		"tcp://localhost:1234/resource", "tcp://*:1234", "inproc://", "ipc://", "localhost:1234", "",
	} {
		require.ErrorIs(t, s.Connect(endpoint), socket.ErrEndpoint, endpoint)
	}
	require.Empty(t, s.Stats().Peers)
}

// Behaviour 66: Connect refuses a host name that does not resolve.
//
// Differs: names are resolved at each attempt, since the service may not have one yet, or another address tomorrow. A name that does not resolve is the
// error of an event, and is tried again.
func TestBehaviour66_NamesAreResolvedAtEachAttempt(t *testing.T) {
	t.Parallel()
	s := socket.NewPub(swift())
	closing(t, s)
	await := watch(t, s)
	connect(t, s, "tcp://nosuch.invalid:1234")
	for range 2 {
		_, isDNS := asType[*net.DNSError](await(socket.Retrying).Err)
		require.True(t, isDNS)
	}
}

// Behaviour 67: an endpoint to connect to may say which address to connect from.
func TestBehaviour67_SourceAddress(t *testing.T) {
	t.Parallel()
	pull, push := socket.NewPull(), socket.NewPush()
	endpoint := bound(t, "tcp", pull)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // who connects from a port cannot share it, as a listener may: see sockettest.Unused
	require.NoError(t, err)
	source := ln.Addr().String()
	require.NoError(t, ln.Close())
	closing(t, push)
	connect(t, push, "tcp://"+source+";"+strings.TrimPrefix(endpoint, "tcp://"))
	send(t, push, "from there")
	require.Equal(t, source, recv(t, pull).Peer().Address())
	require.ErrorIs(t, push.Connect("tcp://no:port:there;127.0.0.1:1234"), socket.ErrEndpoint)
}

// Behaviour 70: within the process, peers connect before the name is bound: one, many, and while it is being bound.
func TestBehaviour70_InprocConnectBeforeBind(t *testing.T) {
	t.Parallel()
	const peers = 100
	endpoint, pull := fresh("inproc"), socket.NewPull()
	closing(t, pull)
	var wg sync.WaitGroup
	for i := range peers {
		push := socket.NewPush()
		closing(t, push)
		if i < peers/2 {
			connect(t, push, endpoint)
			send(t, push, fmt.Sprint(i))
			continue
		}
		wg.Go(func() {
			assert.NoError(t, push.Connect(endpoint))
			assert.NoError(t, push.Send(limit(t), fmt.Append(nil, i)))
		})
	}
	bind(t, pull, endpoint)
	wg.Wait()
	seen := map[string]bool{}
	for range peers {
		seen[recv(t, pull).String()] = true
	}
	require.Len(t, seen, peers)
}

// Behaviour 70: a socket that waits for a name which nobody binds can be closed.
func TestBehaviour70_InprocCloseWhilePending(t *testing.T) {
	t.Parallel()
	endpoint := fresh("inproc")
	for range 50 {
		pair := socket.NewPair()
		connect(t, pair, endpoint)
		require.NoError(t, pair.Close())
	}
	late := socket.NewPair()
	closing(t, late)
	bind(t, late, endpoint) // which finds nobody
	require.Error(t, late.WaitPeers(soon(t), 1))
}

// Behaviour 71: a hundred sockets connect and close at the same time, ten times over; nothing hangs and nothing is left.
func TestBehaviour71_ShutdownStress(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for range 10 {
			pub := socket.NewPub()
			endpoint := bind(t, pub, fresh(transport))
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					sub := socket.NewSub()
					assert.NoError(t, sub.Connect(endpoint))
					assert.NoError(t, sub.Close())
				})
			}
			wg.Wait()
			require.NoError(t, pub.Close())
		}
	})
}

// Behaviour 72: Recv that waits returns when the socket is closed, and so does every call after that.
func TestBehaviour72_CloseWakesRecv(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull, push := socket.NewPull(), socket.NewPush()
		endpoint := join(t, transport, pull, push)
		ctx, received := limit(t), make(chan error, 1)
		go func() { // ends with ctx
			_, err := pull.Recv(ctx)
			received <- err
		}()
		select {
		case err := <-received:
			require.Fail(t, "Recv returned", "%v", err)
		case <-time.After(20 * time.Millisecond): // in which it most probably began to wait
		}
		require.NoError(t, pull.Close())
		require.ErrorIs(t, <-received, socket.ErrClosed)
		_, err := pull.Recv(context.Background())
		require.ErrorIs(t, err, socket.ErrClosed)
		_, err = pull.Bind(endpoint)
		require.ErrorIs(t, err, socket.ErrClosed)
		require.ErrorIs(t, pull.Connect(endpoint), socket.ErrClosed)
		require.NoError(t, pull.Close())
	})
}
