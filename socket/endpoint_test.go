package socket_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// A socket binds and connects to any number of endpoints, in any order.
func TestEndpoints_ManyOfBothKinds(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull()
	closing(t, pull)
	await := watch(t, pull)
	bound := []string{bind(t, pull, "tcp://127.0.0.1:0"), bind(t, pull, "tcp://127.0.0.1:0"), bind(t, pull, "ipc://*"), bind(t, pull, "inproc://"+t.Name())}
	for _, endpoint := range bound {
		assert.Equal(t, endpoint, await(socket.Listening).Endpoint)
		assert.Contains(t, pull.Stats().Endpoints, endpoint)
	}
	var pushes []*socket.Push
	for i := range 8 {
		push := socket.NewPush()
		closing(t, push)
		pushes = append(pushes, push)
		if i < len(bound) {
			require.NoError(t, push.Connect(bound[i]))
		} else {
			require.NoError(t, pull.Connect(bind(t, push, "tcp://127.0.0.1:0")))
		}
	}
	require.NoError(t, pull.WaitPeers(limit(t), 8))
	for i, push := range pushes {
		send(t, push, fmt.Sprint(i))
		requireMsg(t, recv(t, pull), fmt.Sprint(i))
	}
}

// Unbind frees the address before it returns and leaves the connections that came in through it.
func TestUnbind(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull, other := socket.NewPush(), socket.NewPull(), socket.NewPull()
		endpoint := join(t, transport, pull, push)
		closing(t, other)
		require.NoError(t, pull.WaitPeers(limit(t), 1))
		await := watch(t, pull)
		require.NoError(t, pull.Unbind(endpoint))
		assert.Equal(t, endpoint, await(socket.Unbound).Endpoint)
		assert.Equal(t, endpoint, bind(t, other, endpoint))
		send(t, push, "still there")
		requireMsg(t, recv(t, pull), "still there")
		err := pull.Unbind(endpoint)
		require.ErrorIs(t, err, socket.ErrEndpoint)
		assert.ErrorContains(t, err, endpoint)
		require.NoError(t, other.Unbind(endpoint))
		assert.Equal(t, endpoint, bind(t, pull, endpoint), "and back")
	})
}

// Disconnect writes what is queued and then ends the connection for good; the endpoint may be connected to again.
func TestDisconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 200
		push, pull := socket.NewPush(swift()), socket.NewPull(socket.WithRecvHWM(10))
		endpoint := join(t, transport, pull, push)
		require.NoError(t, pull.WaitPeers(limit(t), 1))
		numbered(t, push, 0, messages, 1000)
		await := watch(t, push)
		require.NoError(t, push.Disconnect(endpoint))
		assert.ErrorIs(t, push.Send(try(), text("x")), socket.ErrNoPeer)
		for i := range messages {
			require.Equal(t, i, ordinalOf(recv(t, pull)))
		}
		await(socket.Disconnected)
		require.Eventually(t, func() bool { return len(push.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
		assert.Empty(t, push.Stats().Dropped)
		assert.ErrorIs(t, push.Disconnect(endpoint), socket.ErrEndpoint)
		require.NoError(t, push.Connect(endpoint))
		send(t, push, "again")
		requireMsg(t, recv(t, pull), "again")
	})
}

// What Disconnect could not write within the linger period is dropped, counted and reported.
func TestDisconnect_DropsWhatIsLeft(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithLinger(10*time.Millisecond), socket.WithSendHWM(20))
	closing(t, push)
	raw := stalled(t, push)
	sent := fill(t, push, 100<<10)
	absent := unused(t)
	require.NoError(t, push.Connect(absent))
	for range 20 {
		require.NoError(t, push.Send(try(), text("12345678")))
	}
	await := watch(t, push)
	require.NoError(t, push.Disconnect(absent))
	dropped := await(socket.Dropped)
	assert.Equal(t, socket.DropDisconnected, dropped.Reason)
	assert.Equal(t, absent, dropped.Endpoint)
	assert.EqualValues(t, 20, dropped.Count)
	endpoint := push.Stats().Peers[0].Endpoint
	require.NoError(t, push.Disconnect(endpoint))
	dropped = await(socket.Dropped)
	assert.Equal(t, endpoint, dropped.Endpoint)
	assert.Equal(t, sent, wholeMessages(t, raw.Conn())+int(dropped.Count))
}

// Disconnect during the handshake ends it: no connection comes of it later.
func TestDisconnect_DuringHandshake(t *testing.T) {
	t.Parallel()
	push := socket.NewPush()
	closing(t, push)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	raw := sockettest.AcceptRaw(t, ln)
	raw.ReadGreeting()
	require.NoError(t, push.Disconnect(endpoint))
	raw.ExpectClosed()
}

// Connect before Bind works, also when the name is bound, freed and bound again by others.
func TestConnect_BeforeBind(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(swift())
		closing(t, push)
		endpoint := fresh(t, transport)
		if transport != "inproc" { // find a name that is free
			probe := socket.NewPull()
			endpoint = bind(t, probe, endpoint)
			require.NoError(t, probe.Close())
		}
		require.NoError(t, push.Connect(endpoint))
		require.NoError(t, push.Connect(endpoint), "connecting twice is connecting once")
		assert.False(t, push.Connected(endpoint))
		for i := range 3 {
			send(t, push, fmt.Sprint(i))
			pull := socket.NewPull()
			bind(t, pull, endpoint)
			requireMsg(t, recv(t, pull), fmt.Sprint(i))
			require.NoError(t, push.WaitPeers(limit(t), 1))
			assert.True(t, push.Connected(endpoint))
			assert.False(t, push.Connected(endpoint+"0"))
			await := watch(t, push)
			require.NoError(t, pull.Close())
			await(socket.Disconnected)
			require.Eventually(t, func() bool { return !push.Connected(endpoint) }, sockettest.Timeout, time.Millisecond)
		}
		require.NoError(t, push.Disconnect(endpoint))
		assert.False(t, push.Connected(endpoint))
	})
}

// A name that does not resolve (RFC 6761, 6.4: .invalid never does) is no error of Connect but an event that names it.
func TestConnect_NameDoesNotResolve(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(swift())
	closing(t, push)
	await := watch(t, push)
	require.NoError(t, push.Connect("tcp://nosuch.invalid:5555"))
	for range 2 {
		retry := await(socket.Retrying)
		assert.Equal(t, "tcp://nosuch.invalid:5555", retry.Endpoint)
		assert.ErrorContains(t, retry.Err, "nosuch.invalid")
		assert.LessOrEqual(t, retry.RetryIn, 5*time.Millisecond)
		_, isDNS := errors.AsType[*net.DNSError](retry.Err)
		assert.True(t, isDNS, "%v", retry.Err)
	}
}

// An address in use is an error of Bind that names it.
func TestBind_InUse(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewPull(), socket.NewPull()
		closing(t, a, b)
		endpoint := bind(t, a, fresh(t, transport))
		_, err := b.Bind(endpoint)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		assert.ErrorContains(t, err, endpoint)
		_, err = a.Bind(endpoint)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		assert.Equal(t, []string{endpoint}, a.Stats().Endpoints)
	})
}

// Malformed endpoints are errors at once, which name them.
func TestEndpoints_Malformed(t *testing.T) {
	t.Parallel()
	s := socket.NewPair()
	closing(t, s)
	for _, endpoint := range []string{"", "tcp", "tcp://", "tcp://host", "tcp://host:", "tcp://host:70000", "tcp://host:x", "carrier://pigeon", "ipc://", "inproc://", "127.0.0.1:5555", "tcp://a b:1"} {
		_, err := s.Bind(endpoint)
		require.ErrorIs(t, err, socket.ErrEndpoint, endpoint)
		require.ErrorContains(t, err, endpoint)
		err = s.Connect(endpoint)
		require.ErrorIs(t, err, socket.ErrEndpoint, endpoint)
		require.ErrorContains(t, err, endpoint)
		require.ErrorIs(t, s.Disconnect(endpoint), socket.ErrEndpoint, endpoint)
		require.ErrorIs(t, s.Unbind(endpoint), socket.ErrEndpoint, endpoint)
	}
	for _, endpoint := range []string{"tcp://*:5555", "tcp://127.0.0.1:0"} {
		err := s.Connect(endpoint)
		require.ErrorIs(t, err, socket.ErrEndpoint, endpoint)
		require.True(t, strings.Contains(err.Error(), endpoint))
	}
	assert.Empty(t, s.Stats().Peers)
}

// Disconnect works for every type: the peer is gone for both sides and gets nothing more.
func TestDisconnect_EveryType(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]anySocket{
		{socket.NewPush(), socket.NewPull()}, {socket.NewPull(), socket.NewPush()}, {socket.NewReq(), socket.NewRep()}, {socket.NewRep(), socket.NewReq()},
		{socket.NewDealer(), socket.NewRouter()}, {socket.NewRouter(), socket.NewDealer(socket.WithIdentity("x"))}, {socket.NewPair(), socket.NewPair()},
		{socket.NewPub(), socket.NewSub()}, {socket.NewSub(), socket.NewPub()}, {socket.NewXPub(), socket.NewXSub()}, {socket.NewXSub(), socket.NewXPub()},
	} {
		near, far := pair[0], pair[1]
		endpoint := join(t, "tcp", far, near)
		require.NoError(t, near.WaitPeers(limit(t), 1))
		require.NoError(t, far.WaitPeers(limit(t), 1))
		require.NoError(t, near.Disconnect(endpoint))
		require.Eventually(t, func() bool {
			return len(near.Stats().Peers) == 0 && len(far.Stats().Peers) == 0
		}, sockettest.Timeout, time.Millisecond, "%T", near)
		require.Error(t, near.WaitPeers(try(), 1))
		require.NoError(t, near.Connect(endpoint), "%T", near)
		require.NoError(t, near.WaitPeers(limit(t), 1))
	}
}

// WithImmediate gives an endpoint no queue before it is connected, nor after: what it has not written when the connection ends is counted.
func TestWithImmediate(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithImmediate(), socket.WithSendHWM(10), swift())
	closing(t, push)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	require.ErrorIs(t, push.Send(try(), text("x")), socket.ErrNoPeer)
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("PULL", 1)
	require.NoError(t, push.WaitPeers(limit(t), 1))
	sent := fill(t, push, 64<<10)
	await := watch(t, push)
	require.NoError(t, raw.Conn().(*net.TCPConn).CloseWrite())
	dropped := await(socket.Dropped)
	assert.Equal(t, socket.DropPeerGone, dropped.Reason)
	assert.Contains(t, dropped.String(), fmt.Sprintf("dropped %s peer %s %d (peer gone)", endpoint, raw.Conn().LocalAddr(), dropped.Count))
	assert.Equal(t, sent, wholeMessages(t, raw.Conn())+int(dropped.Count))
}
