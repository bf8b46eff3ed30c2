package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// What waits for a connection that was given up does not hold up Close, which says that it was not sent; another Connect sends it.
func TestGaveUp_Queue(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		push, pull := socket.NewPush(socket.WithoutReconnect(), socket.WithLinger(time.Hour)), socket.NewPull()
		closing(t, pull)
		await := watch(t, push)
		endpoint := unused(t)
		require.NoError(t, push.Connect(endpoint))
		sent := 0
		for push.Send(try(), text("x")) == nil {
			sent++
		}
		e := await(socket.GaveUp)
		assert.Equal(t, endpoint, e.Endpoint)
		assert.ErrorContains(t, e.Err, "refused")
		assert.Contains(t, e.String(), "gave up "+endpoint)
		require.ErrorIs(t, push.Send(try(), text("x")), socket.ErrNoPeer)
		state := push.Stats().Peers[0]
		assert.True(t, state.GaveUp)
		assert.Equal(t, sent, state.QueueMessages)
		if again {
			bind(t, pull, endpoint)
			require.NoError(t, push.Connect(endpoint))
			require.NoError(t, push.WaitPeers(limit(t), 1))
			send(t, push, "last")
			for range sent {
				requireMsg(t, recv(t, pull), "x")
			}
			requireMsg(t, recv(t, pull), "last")
			sent = 0
		}
		err := push.Close()
		if sent == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "messages were not sent: the connection they wait for was given up")
	}
}

// An endpoint that was given up can be disconnected, which drops what waits, and connected to anew.
func TestGaveUp_Disconnect(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter(socket.WithReconnectStop(socket.StopOnRefused), socket.WithLinger(time.Hour))
	closing(t, router)
	await := watch(t, router)
	endpoint := unused(t)
	for range 3 {
		require.NoError(t, router.ConnectAs("name", endpoint))
		queued := router.Send(try(), text("name"), text("x")) == nil
		await(socket.GaveUp)
		require.ErrorIs(t, router.Send(try(), text("name"), text("x")), socket.ErrNoPeer)
		require.NoError(t, router.ConnectAs("name", endpoint), "again")
		await(socket.GaveUp)
		require.NoError(t, router.Disconnect(endpoint))
		if queued {
			assert.Equal(t, socket.DropDisconnected, await(socket.Dropped).Reason)
		}
		require.Eventually(t, func() bool { return len(router.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
	}
}

// A REQ that gives up waiting for an uncorrelated reply gets another connection, also when it never reconnects otherwise.
func TestWithoutReconnect_Renewed(t *testing.T) {
	t.Parallel()
	req, router := socket.NewReq(socket.WithoutReconnect(), socket.WithIdentity("me")), socket.NewRouter()
	join(t, "tcp", router, req)
	require.NoError(t, req.WaitPeers(limit(t), 1))
	_, err := req.Request(soon(t), text("slow"))
	require.ErrorIs(t, err, socket.ErrTimeout)
	send(t, req, "next")
	requireMsg(t, recv(t, router), "me", "", "slow")
	requireMsg(t, recv(t, router), "me", "", "next")
}

// The types of numbered peers greet, and miss their peers, as ROUTER and DEALER do.
func TestMadeMessages_Numbered(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server := socket.NewServer(socket.WithHelloMessage(text("welcome")), socket.WithDisconnectMessage(text("gone")))
		client := socket.NewClient(swift(), socket.WithHelloMessage(text("hello")), socket.WithHiccupMessage(text("hiccup")))
		join(t, transport, server, client)
		m := recv(t, server)
		requireMsg(t, m, "hello")
		id := m.RoutingID()
		requireMsg(t, recv(t, client), "welcome")
		require.NoError(t, server.Kick(server.Peers()[0]))
		for range 2 { // of two connections, in any order
			m = recv(t, server)
			if m.String() == "gone" {
				assert.Equal(t, id, m.RoutingID())
			} else {
				requireMsg(t, m, "hello")
				assert.NotEqual(t, id, m.RoutingID())
			}
		}
		requireMsg(t, recv(t, client), "hiccup")
		requireMsg(t, recv(t, client), "welcome")
	})
	eachTransport(t, func(t *testing.T, transport string) {
		peer := socket.NewP2P(socket.WithHelloMessage(text("me too")), socket.WithHiccupMessage(text("hiccup")), socket.WithDisconnectMessage(text("gone")), swift())
		other := socket.NewP2P(socket.WithDisconnectMessage(text("gone")))
		join(t, transport, other, peer)
		requireMsg(t, recv(t, other), "me too")
		require.NoError(t, peer.WaitPeers(limit(t), 1))
		require.NoError(t, peer.Kick(peer.Peers()[0]))
		requireMsg(t, recv(t, peer), "hiccup")
		assert.ElementsMatch(t, []string{"gone", "me too"}, []string{recv(t, other).String(), recv(t, other).String()})
	})
}

// A hello message is sent on each connection and counts for nothing: not for the high-water mark, nor for Stats.
func TestHelloMessage_Uncounted(t *testing.T) {
	t.Parallel()
	hello := make([]byte, 100<<10)
	dealer, router := socket.NewDealer(socket.WithSendHWM(1), socket.WithHelloMessage(hello, hello), socket.WithProbe(), swift(), socket.WithIdentity("d")), socket.NewRouter()
	closing(t, router, dealer)
	require.NoError(t, dealer.Connect(bind(t, router, "tcp://127.0.0.1:0")))
	for i := range 3 {
		requireMsg(t, recv(t, router), "d", "") // the probe goes first
		m := recv(t, router)
		require.Len(t, m.Frames, 3)
		require.Len(t, m.Frames[2], len(hello))
		require.Zero(t, dealer.Stats().MessagesOut)
		if i < 2 {
			require.NoError(t, router.KickID(text("d")))
		}
	}
}

// StopCondition names itself.
func TestStopCondition_String(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "never", socket.StopCondition(0).String())
	assert.Equal(t, "refused, after disconnect", (socket.StopOnRefused | socket.StopAfterDisconnect).String())
	assert.Equal(t, "handshake failed, ?", (socket.StopOnHandshakeFailed | 128).String())
}
