package socket_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// recorder is an event handler that keeps what it is called with.
type recorder struct {
	mu     sync.Mutex
	events []socket.Event
}

func (r *recorder) record(e socket.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
}

func (r *recorder) kinds() (kinds []socket.EventKind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// The life of a connection is reported on both sides, in order, with who and where, and to the end.
func TestEvents_LifeOfAConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		var server, client recorder
		pull := socket.NewPull(socket.WithEventHandler(server.record))
		push := socket.NewPush(socket.WithEventHandler(client.record), socket.WithProperty("X-Name", "p"))
		endpoint := bind(t, pull, fresh(t, transport))
		require.NoError(t, push.Connect(endpoint))
		require.NoError(t, push.WaitPeers(limit(t), 1))
		require.NoError(t, pull.WaitPeers(limit(t), 1))
		require.NoError(t, push.Close())
		require.Eventually(t, func() bool { return len(server.kinds()) == 4 }, sockettest.Timeout, time.Millisecond)
		require.NoError(t, pull.Close())

		assert.Equal(t, []socket.EventKind{socket.Connected, socket.Disconnected}, client.kinds())
		assert.Equal(t, []socket.EventKind{socket.Listening, socket.Accepted, socket.Connected, socket.Disconnected, socket.Unbound}, server.kinds())
		for i, e := range append(server.events, client.events...) {
			assert.Equal(t, endpoint, e.Endpoint)
			assert.NoError(t, e.Err)
			if i > 0 && i < len(server.events) {
				assert.False(t, e.Time.Before(server.events[i-1].Time))
			}
		}
		peer := server.events[2].Peer
		require.NotNil(t, peer)
		assert.Same(t, peer, server.events[3].Peer)
		assert.Equal(t, []string{"PUSH", "3.1", endpoint, server.events[1].Peer.Address()}, []string{peer.SocketType(), peer.Version(), peer.Endpoint(), peer.Address()})
		name, ok := peer.Property("x-NAME")
		assert.True(t, ok)
		assert.Equal(t, "p", name)
		assert.Equal(t, "PULL", client.events[0].Peer.SocketType())
	})
}

// RFC 23: a peer SHALL refuse one whose socket type does not fit. Both sides say why; the one that connects waits before it tries again.
func TestRFC23_WrongSocketPair(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewPush(), socket.NewPush(socket.WithReconnect(time.Minute, time.Minute))
		awaitA, awaitB := watch(t, a), watch(t, b)
		endpoint := join(t, transport, a, b)
		for _, await := range []func(socket.EventKind) socket.Event{awaitA, awaitB} {
			e := await(socket.HandshakeFailed)
			assert.Equal(t, endpoint, e.Endpoint)
			assert.ErrorContains(t, e.Err, "PUSH")
			require.NotNil(t, e.Peer)
		}
		retry := awaitB(socket.Retrying)
		assert.ErrorContains(t, retry.Err, "PUSH")
		assert.LessOrEqual(t, retry.RetryIn, time.Minute)
		assert.ErrorIs(t, a.WaitPeers(soon(t), 1), socket.ErrNoPeer)
		assert.ErrorIs(t, a.Send(try(), text("x")), socket.ErrNoPeer)
	})
}

// A side that lost its peer tries again, and says so.
func TestEvents_Reconnect(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(swift()), socket.NewPull()
	closing(t, push)
	await := watch(t, push)
	endpoint := bind(t, pull, "tcp://127.0.0.1:0")
	require.NoError(t, push.Connect(endpoint))
	first := await(socket.Connected).Peer
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	require.NoError(t, pull.Close())
	assert.Same(t, first, await(socket.Disconnected).Peer)
	refused := await(socket.Retrying)
	for refused.Err == nil { // after the orderly end
		refused = await(socket.Retrying)
	}
	assert.ErrorContains(t, refused.Err, endpoint)
	pull = socket.NewPull()
	closing(t, pull)
	bind(t, pull, endpoint)
	second := await(socket.Connected).Peer
	assert.NotSame(t, first, second, "a reconnected peer is another Peer")
	require.Eventually(t, func() bool { return push.Stats().Peers[0].Reconnects == 1 }, sockettest.Timeout, time.Millisecond)
}

// Streams are independent of each other: each has what happened since Events was called, until its context ends or its loop is left.
func TestEvents_Streams(t *testing.T) {
	t.Parallel()
	s := socket.NewPull()
	all := s.Events(context.Background())
	ctx, stop := context.WithCancel(t.Context())
	short := s.Events(ctx)
	bind(t, s, "tcp://127.0.0.1:0")
	stop()
	n := 0
	for range short {
		n++
	}
	assert.LessOrEqual(t, n, 1)
	bind(t, s, "tcp://127.0.0.1:0")
	late := s.Events(context.Background())
	left := s.Events(context.Background())
	require.NoError(t, s.Close())
	for e := range left {
		assert.Equal(t, socket.Unbound, e.Kind)
		break
	}
	for range left {
		t.Error("a stream that was left goes on")
	}
	var kinds []socket.EventKind
	for e := range all {
		kinds = append(kinds, e.Kind)
		assert.Contains(t, e.String(), e.Kind.String()+" tcp://127.0.0.1:")
	}
	assert.Equal(t, []socket.EventKind{socket.Listening, socket.Listening, socket.Unbound, socket.Unbound}, kinds)
	for e := range late {
		assert.Equal(t, socket.Unbound, e.Kind)
	}
}

// WithMaxPeers bounds the accepted peers; one more is refused with an event, and let in once another has left.
func TestWithMaxPeers(t *testing.T) {
	t.Parallel()
	pull, a, b := socket.NewPull(socket.WithMaxPeers(1)), socket.NewPush(), socket.NewPush(swift())
	await := watch(t, pull)
	endpoint := join(t, "tcp", pull, a)
	closing(t, b)
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	require.NoError(t, b.Connect(endpoint))
	assert.ErrorContains(t, await(socket.HandshakeFailed).Err, "WithMaxPeers")
	require.NoError(t, a.Close())
	send(t, b, "in")
	requireMsg(t, recv(t, pull), "in")
}

// Stats tell of each peer what waits, what went and what came.
func TestStats(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewDealer(socket.WithHeartbeat(time.Millisecond, time.Minute)), socket.NewDealer()
		endpoint := join(t, transport, a, b)
		require.NoError(t, a.WaitPeers(limit(t), 1))
		require.NoError(t, b.WaitPeers(limit(t), 1))
		send(t, b, "1", "22")
		send(t, b, "333")
		recv(t, a)
		require.Eventually(t, func() bool { return a.Stats().Peers[0].MessagesIn == 2 && a.Stats().Peers[0].LastRTT > 0 }, sockettest.Timeout, time.Millisecond)
		s := a.Stats()
		assert.Equal(t, []any{uint64(1), uint64(3), []string{endpoint}}, []any{s.MessagesIn, s.BytesIn, s.Endpoints})
		require.Len(t, s.Peers, 1)
		p := s.Peers[0]
		assert.True(t, p.Connected)
		assert.Equal(t, "DEALER", p.Peer.SocketType())
		assert.Equal(t, endpoint, p.Endpoint)
		assert.Equal(t, []uint64{2, 6, 0, 0, 0}, []uint64{p.MessagesIn, p.BytesIn, p.MessagesOut, p.BytesOut, p.Reconnects})
		assert.Equal(t, []int{1, 3}, []int{p.InboxMessages, p.InboxBytes})
		require.Eventually(t, func() bool { return b.Stats().Peers[0].QueueMessages == 0 }, sockettest.Timeout, time.Millisecond)
		s = b.Stats()
		assert.Equal(t, []uint64{2, 6}, []uint64{s.MessagesOut, s.BytesOut})
		assert.Equal(t, []uint64{2, 6}, []uint64{s.Peers[0].MessagesOut, s.Peers[0].BytesOut})
		require.NoError(t, a.Close())
		require.Eventually(t, func() bool { return !b.Stats().Peers[0].Connected }, sockettest.Timeout, time.Millisecond)
		assert.Nil(t, b.Stats().Peers[0].Peer)
		require.NoError(t, b.Close())
		s = b.Stats()
		assert.Equal(t, []uint64{2, 6}, []uint64{s.MessagesOut, s.BytesOut}, "counters do not fall")
		assert.Empty(t, s.Peers)
	})
}
