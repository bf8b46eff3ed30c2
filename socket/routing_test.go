package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Options that contradict each other make the socket unusable; the error names both.
func TestOption_RouteContradictions(t *testing.T) {
	t.Parallel()
	big := make([]byte, 11)
	for _, tc := range []struct {
		options []socket.Option
		want    []string
	}{
		{[]socket.Option{socket.WithoutReconnect(), swift()}, []string{"WithoutReconnect", "WithReconnect:"}},
		{[]socket.Option{socket.WithoutReconnect(), socket.WithReconnectStop(socket.StopOnRefused)}, []string{"WithoutReconnect", "WithReconnectStop(refused)"}},
		{[]socket.Option{socket.WithMaxMessageSize(10), socket.WithHelloMessage(big)}, []string{"WithHelloMessage(11 bytes)", "WithMaxMessageSize allows 10"}},
		{[]socket.Option{socket.WithHiccupMessage(big), socket.WithMaxMessageSize(10)}, []string{"WithHiccupMessage(11 bytes)", "WithMaxMessageSize allows 10"}},
	} {
		err := socket.NewDealer(tc.options...).Connect("tcp://127.0.0.1:1")
		require.ErrorIs(t, err, socket.ErrOption)
		for _, want := range tc.want {
			require.ErrorContains(t, err, want)
		}
	}
	err := socket.NewDealer(socket.WithConflate(), socket.WithHelloMessage(nil, nil)).Connect("tcp://127.0.0.1:1")
	require.ErrorIs(t, err, socket.ErrOption)
	require.ErrorContains(t, err, "WithHelloMessage(2 frames): with WithConflate messages have one")
	err = socket.NewPub(socket.WithMaxMessageSize(10), socket.WithWelcomeMessage(big)).Connect("tcp://127.0.0.1:1")
	require.ErrorIs(t, err, socket.ErrOption)
	require.ErrorContains(t, err, "WithWelcomeMessage(11 bytes): WithMaxMessageSize allows 10")
	err = socket.NewPush(socket.WithConflate(), socket.WithLeastOutstanding()).Connect("tcp://127.0.0.1:1")
	require.ErrorIs(t, err, socket.ErrOption)
	require.ErrorContains(t, err, "WithConflate and WithLeastOutstanding")
	err = socket.NewPush(socket.WithConflate(), socket.WithReroute()).Connect("tcp://127.0.0.1:1")
	require.ErrorIs(t, err, socket.ErrOption)
	require.ErrorContains(t, err, "WithConflate and WithReroute")
	err = socket.NewServer(socket.WithDisconnectMessage(big, big)).Connect("tcp://127.0.0.1:1")
	require.ErrorContains(t, err, "WithDisconnectMessage(2 frames): a SERVER message has one frame")
	require.ErrorIs(t, err, socket.ErrOption)
	s := socket.NewDealer(socket.WithoutReconnect(), socket.WithReconnectStop(socket.StopAfterDisconnect))
	closing(t, s)
	require.NoError(t, s.Connect("inproc://"+t.Name()))
}

// Whoever sent what was received is among the peers already, and is no longer counted among them once Kick has returned.
func TestKick_AgreesWithTheBooks(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		closing(t, pull)
		endpoint := bind(t, pull, fresh(t, transport))
		for range 50 {
			push := socket.NewPush(socket.WithoutReconnect())
			closing(t, push)
			require.NoError(t, push.Connect(endpoint))
			send(t, push, "x")
			m := recv(t, pull)
			require.Equal(t, []*socket.Peer{m.Peer()}, pull.Peers())
			require.NoError(t, pull.Kick(m.Peer()))
			require.ErrorIs(t, pull.WaitPeers(try(), 1), socket.ErrNoPeer)
			require.Empty(t, pull.Peers())
		}
	})
}

// Kick ends one peer's connection, whatever the type; it may come back, as another Peer. What waits for a peer of Connect stays.
func TestKick(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(swift()), socket.NewPull()
		await, awaitPush := watch(t, pull), watch(t, push)
		endpoint := join(t, transport, pull, push)
		for range 5 {
			await(socket.Connected)
			awaitPush(socket.Connected)
			peers := pull.Peers()
			require.Len(t, peers, 1)
			assert.Equal(t, endpoint, peers[0].Endpoint())
			require.NoError(t, pull.Kick(peers[0]))
			assert.NotContains(t, pull.Peers(), peers[0])
			assert.ErrorContains(t, await(socket.Disconnected).Err, "kicked")
			e := awaitPush(socket.Disconnected)
			assert.ErrorContains(t, e.Err, "kicked")
			err := pull.Kick(peers[0])
			require.ErrorIs(t, err, socket.ErrNoPeer)
			require.ErrorContains(t, err, peers[0].Address())
			require.ErrorIs(t, push.Kick(e.Peer), socket.ErrNoPeer)
		}
		awaitPush(socket.Connected)
		require.ErrorIs(t, pull.Kick(nil), socket.ErrNoPeer)
		require.NoError(t, push.Kick(push.Peers()[0]))
		send(t, push, "to the next")
		requireMsg(t, recv(t, pull), "to the next")
	})
}

// Stats tell since when a peer is connected.
func TestStats_Since(t *testing.T) {
	t.Parallel()
	before := time.Now()
	push, pull := socket.NewPush(), socket.NewPull()
	require.NoError(t, push.Connect(unused(t)))
	join(t, "tcp", pull, push)
	require.NoError(t, push.WaitPeers(limit(t), 1))
	for _, peer := range push.Stats().Peers {
		if !peer.Connected {
			assert.Zero(t, peer.Since)
			continue
		}
		assert.False(t, peer.Since.Before(before))
		assert.False(t, peer.Since.After(time.Now()))
	}
}

// An endpoint of ConnectAs keeps its name and its queue from one connection to the next, and loses both with Disconnect.
func TestRouter_ConnectAs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(swift(), socket.WithSendHWM(3))
		closing(t, router)
		var endpoint string
		for i := range 3 {
			dealer := socket.NewDealer()
			if i == 0 {
				endpoint = bind(t, dealer, fresh(t, transport))
				require.NoError(t, router.ConnectAs("name", endpoint))
			} else {
				bind(t, dealer, endpoint)
			}
			send(t, router, "name", "hello")
			requireMsg(t, recv(t, dealer), "hello")
			send(t, dealer, "back")
			m := recv(t, router)
			requireMsg(t, m, "name", "back")
			assert.Equal(t, "name", m.Peer().RoutingID())
			await := watch(t, router)
			require.NoError(t, dealer.Close())
			await(socket.Disconnected)
		}
		for range 3 {
			send(t, router, "name", "waits")
		}
		ok, err := router.Writable(text("name"))
		require.NoError(t, err)
		assert.False(t, ok)
		require.ErrorIs(t, router.Send(try(), text("name"), text("too many")), socket.ErrFull)
		require.NoError(t, router.Disconnect(endpoint))
		require.ErrorIs(t, router.Send(try(), text("name"), text("too late")), socket.ErrNoPeer)
		require.NoError(t, router.ConnectAs("name", unused(t)), "the name is free")
	})
}

// A name that Disconnect has freed belongs to who gets it next, also when the one before still gets what waits for it.
func TestRouter_ConnectAsWhileLeaving(t *testing.T) {
	t.Parallel()
	router, before, after := socket.NewRouter(swift()), socket.NewDealer(), socket.NewDealer()
	closing(t, router, before, after)
	endpoint := unused(t)
	require.NoError(t, router.ConnectAs("name", endpoint))
	send(t, router, "name", "waits")
	require.NoError(t, router.Disconnect(endpoint))
	require.NoError(t, router.ConnectAs("name", bind(t, after, "tcp://127.0.0.1:0")))
	require.NoError(t, after.WaitPeers(limit(t), 1))
	await := watch(t, router)
	bind(t, before, endpoint)
	requireMsg(t, recv(t, before), "waits")
	assert.Equal(t, endpoint, await(socket.Disconnected).Endpoint)
	send(t, router, "name", "new")
	requireMsg(t, recv(t, after), "new")
}

// Send to an id that no peer can have says so, mandatory or not.
func TestRouter_IllegalRoutingID(t *testing.T) {
	t.Parallel()
	for _, mandatory := range []bool{true, false} {
		router := socket.NewRouter(socket.WithMandatory(mandatory))
		closing(t, router)
		for _, id := range []string{"", string(make([]byte, 256))} {
			err := router.Send(limit(t), text(id), text("x"))
			require.ErrorIs(t, err, socket.ErrRoutingID)
			require.ErrorContains(t, err, "want 1 to 255")
		}
		_, err := router.Writable(text("nobody"))
		require.ErrorIs(t, err, socket.ErrNoPeer)
	}
}

// Two living peers of one identity take turns on a ROUTER; each loses its turn with the reason on both sides, and comes back after a pause.
func TestRouter_IdentityShared(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter()
	await := watch(t, router)
	a, b := socket.NewDealer(socket.WithIdentity("d"), swift()), socket.NewDealer(socket.WithIdentity("d"), swift())
	awaitA, awaitB := watch(t, a), watch(t, b)
	endpoint := join(t, "tcp", router, a)
	closing(t, b)
	require.NoError(t, router.WaitPeers(limit(t), 1))
	require.NoError(t, b.Connect(endpoint))
	for range 3 {
		for _, loser := range []func(socket.EventKind) socket.Event{awaitA, awaitB} {
			e := loser(socket.Disconnected)
			assert.ErrorContains(t, e.Err, "took_over_the_identity")
			assert.LessOrEqual(t, loser(socket.Retrying).RetryIn, 5*time.Millisecond)
			assert.ErrorContains(t, await(socket.Disconnected).Err, `took over the identity "d", from 127.0.0.1:`)
		}
	}
}

// A sender that prefers the least outstanding leaves out a peer that has messages waiting while another has none.
func TestLeastOutstanding(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithLeastOutstanding(), socket.WithSendHWM(0), socket.WithSendHWMBytes(0), socket.WithLinger(0))
	closing(t, push)
	stalled(t, push)
	for i := range 64 {
		require.NoError(t, push.Send(limit(t), ordinal(i, 1<<20))) // more than systems buffer
	}
	require.Greater(t, push.Stats().Peers[0].QueueMessages, 10)
	pull := socket.NewPull()
	closing(t, pull)
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	for i := range 100 {
		require.NoError(t, push.Send(limit(t), ordinal(i, 100)))
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
}

// What waits for a peer that left goes to those that are there, whole and each message once; what finds no room is dropped and counted.
func TestWithReroute(t *testing.T) {
	t.Parallel()
	for _, room := range []int{0, 10} { // no limit, few
		push := socket.NewPush(socket.WithReroute(), socket.WithSendHWM(room), socket.WithLinger(0), socket.WithHeartbeat(0, 0))
		closing(t, push)
		endpoint := bind(t, push, "tcp://127.0.0.1:0")
		raw := sockettest.DialRaw(t, endpoint)
		raw.Handshake("PULL", 1)
		require.NoError(t, push.WaitPeers(limit(t), 1))
		sent := 0
		for sent < 100 && push.Send(soon(t), ordinal(sent, 400<<10), text("the second of two")) == nil {
			sent++
		}
		other := sockettest.DialRaw(t, endpoint) // reads nothing for now, so that its queue fills
		other.Handshake("PULL", 1)
		require.NoError(t, push.WaitPeers(limit(t), 2))
		peers := push.Stats().Peers
		waiting := peers[0].QueueMessages + peers[1].QueueMessages
		require.Positive(t, waiting)
		await := watch(t, push)
		raw.Close()
		await(socket.Disconnected)
		stats := push.Stats()
		lost := int(stats.Dropped[socket.DropPeerGone])
		assert.EqualValues(t, sent, stats.MessagesOut, "rerouted messages count once")
		if room == 0 {
			assert.Zero(t, lost)
		}
		last := -1
		for range waiting - lost {
			frames := other.ReadMessage()
			require.Len(t, frames, 2)
			require.Equal(t, "the second of two", frames[1])
			n := ordinalOf(socket.Msg{Frames: bodies(frames...)})
			require.Greater(t, n, last)
			last = n
		}
	}
}
