package conformance

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// dealerAs returns a DEALER of an identity, closed in the end.
func dealerAs(t *testing.T, identity string, opts ...socket.Option) *socket.Dealer {
	t.Helper()
	s := socket.NewDealer(append(opts, socket.WithIdentity(identity))...)
	closing(t, s)
	return s
}

// Behaviour 18: ROUTER refuses what it cannot route when that is mandatory, drops it silently when not, and routes what it can.
//
// Differs: mandatory is the default, and what is dropped without it is counted and reported.
func TestBehaviour18_RouterMandatory(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		strict, lax := socket.NewRouter(), socket.NewRouter(socket.WithMandatory(false))
		await := watch(t, lax)
		for _, router := range []*socket.Router{strict, lax} {
			dealer := dealerAs(t, "known")
			join(t, transport, router, dealer)
			err := router.Send(limit(t), bodies("unknown", "x")...)
			if router == strict {
				require.ErrorIs(t, err, socket.ErrNoPeer)
			} else {
				require.NoError(t, err)
			}
			send(t, router, "known", "y")
			requireRecv(t, dealer, "y")
		}
		assert.EqualValues(t, 1, lax.Stats().Dropped[socket.DropUnroutable])
		e := await(socket.Dropped)
		assert.Equal(t, socket.DropUnroutable, e.Reason)
		assert.EqualValues(t, 1, e.Count)
		assert.Empty(t, strict.Stats().Dropped)
	})
}

// Behaviour 19: a mandatory ROUTER at the high-water mark of a peer that does not read refuses at once, after few messages; one that is
// not mandatory drops.
func TestBehaviour19_RouterMandatoryHWM(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const most = 256 // of 64 KiB: what a system may buffer, by far
		strict := socket.NewRouter(socket.WithSendHWM(1), socket.WithLinger(0))
		endpoint := bound(t, transport, strict)
		rawPeer(t, endpoint, "DEALER", sockettest.Property{Name: "Identity", Value: "slow"})
		awaitPeers(t, strict, 1)
		body := string(make([]byte, 64<<10))
		sent := 0
		for sent < most && strict.Send(soon(t), bodies("slow", body)...) == nil {
			sent++
		}
		require.Less(t, sent, most)
		require.ErrorIs(t, trySend(strict, "slow", body), socket.ErrFull)
		assert.Empty(t, strict.Stats().Dropped)

		lax := socket.NewRouter(socket.WithSendHWM(1), socket.WithLinger(0), socket.WithMandatory(false))
		rawPeer(t, bound(t, transport, lax), "DEALER", sockettest.Property{Name: "Identity", Value: "slow"})
		awaitPeers(t, lax, 1)
		eventually(t, func() bool {
			return trySend(lax, "slow", body) == nil && lax.Stats().Dropped[socket.DropFull] > 0
		}, "nothing was dropped")
	})
}

// Behaviour 20: a ROUTER tells for each routing id whether it could be sent to now, and does not know an unknown one.
func TestBehaviour20_PeerState(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithSendHWM(1), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		rawPeer(t, endpoint, "DEALER", sockettest.Property{Name: "Identity", Value: "slow"})
		connect(t, dealerAs(t, "quick"), endpoint)
		awaitPeers(t, router, 2)
		_, err := router.Writable([]byte("unknown"))
		require.ErrorIs(t, err, socket.ErrNoPeer)
		for router.Send(soon(t), bodies("slow", string(make([]byte, 64<<10)))...) == nil {
		}
		ok, err := router.Writable([]byte("slow"))
		require.NoError(t, err)
		assert.False(t, ok)
		ok, err = router.Writable([]byte("quick"))
		require.NoError(t, err)
		assert.True(t, ok)
	})
}

// Behaviour 21: with handover, a second peer of the same identity gets what is sent to it, and the first no more.
func TestBehaviour21_RouterHandover(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		await := watch(t, router)
		first := dealerAs(t, "X", socket.WithReconnectStop(socket.StopOnHandshakeFailed))
		awaitFirst := watch(t, first)
		endpoint := join(t, transport, router, first)
		second := dealerAs(t, "X")
		connect(t, second, endpoint)
		require.ErrorContains(t, await(socket.Disconnected).Err, `took over the identity "X"`)
		require.ErrorContains(t, awaitFirst(socket.Disconnected).Err, "took_over_the_identity")
		awaitFirst(socket.GaveUp)
		send(t, router, "X", "for the second")
		requireRecv(t, second, "for the second")
		requireNothing(t, first)
		assert.Len(t, router.Peers(), 1)
	})
}

// Behaviour 22: without handover, the first peer of an identity goes on as before, and nothing of the second gets in.
//
// Differs: the second is not ignored but refused, and both sides get to know why.
func TestBehaviour22_RouterNoHandover(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router, first, second := socket.NewRouter(socket.WithHandover(false)), dealerAs(t, "X"), dealerAs(t, "X", swift())
		await, awaitSecond := watch(t, router), watch(t, second)
		endpoint := join(t, transport, router, first)
		connect(t, second, endpoint)
		refused := await(socket.HandshakeFailed)
		require.ErrorIs(t, refused.Err, socket.ErrRoutingID)
		require.ErrorContains(t, refused.Err, `"X" is in use`)
		require.ErrorContains(t, awaitSecond(socket.HandshakeFailed).Err, "in_use")
		send(t, router, "X", "for the first")
		requireRecv(t, first, "for the first")
		send(t, first, "from the first")
		requireRecv(t, router, "X", "from the first")
		require.ErrorIs(t, second.WaitPeers(soon(t), 1), socket.ErrNoPeer)

		raw := dialRaw(t, endpoint) // a peer that is not of this library is hung up on: an ERROR would keep it away for good
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: "DEALER"}, sockettest.Property{Name: "Identity", Value: "X"})
		require.Empty(t, raw.ExpectClosed(), "refused before READY")

		require.NoError(t, first.Close())
		awaitPeers(t, second, 1)
		send(t, second, "at last")
		requireRecv(t, router, "X", "at last")
	})
}

// Behaviour 23: a ROUTER that notifies gives the id and an empty frame when a peer connects, when it disconnects, or both; a handshake that
// failed gives nothing, and of a message that was not sent whole nothing is seen before the peer has gone.
func TestBehaviour23_RouterNotify(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tc := range []struct{ connect, disconnect bool }{{true, false}, {false, true}, {true, true}} {
			router := socket.NewRouter(socket.WithNotify(tc.connect, tc.disconnect))
			await := watch(t, router)
			endpoint := bound(t, transport, router)
			wrong := dialRaw(t, endpoint)
			wrong.SendGreeting(1, "NULL")
			wrong.ReadGreeting()
			wrong.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PULL"})
			await(socket.HandshakeFailed)
			raw := rawPeer(t, endpoint, "DEALER", sockettest.Property{Name: "Identity", Value: "X"})
			if tc.connect {
				requireRecv(t, router, "X", "")
			}
			raw.SendMessage("whole")
			raw.SendFrame(1, []byte("the first part of two"))
			requireRecv(t, router, "X", "whole")
			raw.Close()
			if tc.disconnect {
				requireRecv(t, router, "X", "")
			}
			await(socket.Disconnected)
			requireNothing(t, router)
		}
	})
}

// Behaviour 24: with a probe, a ROUTER gets an empty message with the id of a DEALER, or of another ROUTER, when they connect.
func TestBehaviour24_ProbeRouter(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server := socket.NewRouter()
		endpoint := bound(t, transport, server)
		client := socket.NewRouter(socket.WithProbe(), socket.WithIdentity("R"))
		closing(t, client)
		connect(t, client, endpoint)
		requireRecv(t, server, "R", "")
		send(t, server, "R", "hello")
		assert.Equal(t, "hello", recv(t, client).String())
		connect(t, dealerAs(t, "D", socket.WithProbe()), endpoint)
		requireRecv(t, server, "D", "")
		req := socket.NewReq(socket.WithProbe(), socket.WithIdentity("Q"))
		closing(t, req)
		connect(t, req, endpoint)
		requireRecv(t, server, "Q", "")
		requireNothing(t, server)
	})
}

// Behaviour 25: naming a peer to connect to makes it routable at once, before there is a connection; a name is used once; messages reach the
// peer of their name, whatever connects meanwhile.
func TestBehaviour25_ConnectRoutingID(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(swift())
		closing(t, router)
		y, z := socket.NewRouter(socket.WithIdentity("its own name")), dealerAs(t, "Z")
		endpoint := unbound(t, transport)
		require.NoError(t, router.ConnectAs("Y", endpoint))
		send(t, router, "Y", "0")
		err := router.ConnectAs("Y", unbound(t, transport))
		require.ErrorIs(t, err, socket.ErrRoutingID)
		require.ErrorContains(t, err, `"Y" is in use`)
		require.ErrorIs(t, router.ConnectAs("Y", endpoint), socket.ErrRoutingID)
		require.ErrorIs(t, router.ConnectAs("other", endpoint), socket.ErrState)
		for _, illegal := range []string{"", "\x00Y", string(bytes.Repeat([]byte("x"), 256))} {
			require.ErrorIs(t, router.ConnectAs(illegal, unbound(t, transport)), socket.ErrRoutingID)
		}
		send(t, router, "Y", "1")
		closing(t, y)
		bind(t, y, endpoint)
		connect(t, z, bind(t, router, fresh(transport)))
		awaitPeers(t, router, 2)
		for i := 2; i < 100; i++ {
			send(t, router, "Y", fmt.Sprint(i))
			send(t, router, "Z", fmt.Sprint(i))
		}
		for i := range 100 {
			m := recv(t, y)
			require.Equal(t, fmt.Sprint(i), m.String())
			if i >= 2 {
				requireRecv(t, z, fmt.Sprint(i))
			}
			send(t, y, string(m.Frames[0]), "back")
			requireRecv(t, router, "Y", "back")
		}
		imposter := dealerAs(t, "Y", socket.WithReconnectStop(socket.StopOnHandshakeFailed))
		await := watch(t, imposter)
		connect(t, imposter, router.Stats().Endpoints[0])
		await(socket.GaveUp)
	})
}

// Behaviour 26: a ROUTER reaches a named DEALER that has just connected within a second.
func TestBehaviour26_RouterReachesNewDealer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		await := watch(t, router)
		endpoint := bound(t, transport, router)
		for i := range 100 {
			id := fmt.Sprint("dealer-", i)
			dealer := socket.NewDealer(socket.WithIdentity(id))
			connect(t, dealer, endpoint)
			await(socket.Connected)
			send(t, router, id, "hello")
			requireRecv(t, dealer, "hello")
			require.NoError(t, dealer.Close())
		}
	})
}

// Behaviour 34: a hello message is the first that a peer gets on each connection, whoever was there first; a ROUTER gets its disconnect message when a peer that
// connected to it has gone, a DEALER its hiccup message when it lost a peer that it connected to.
func TestBehaviour34_MadeMessages(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		client := dealerAs(t, "D", swift(), socket.WithHelloMessage([]byte("hello"), []byte("server")), socket.WithHiccupMessage([]byte("hiccup")))
		endpoint := unbound(t, transport)
		connect(t, client, endpoint)
		send(t, client, "queued")
		server := func() *socket.Router {
			return socket.NewRouter(socket.WithHelloMessage([]byte("welcome")), socket.WithDisconnectMessage([]byte("gone"), []byte("for good")))
		}
		router := server()
		bind(t, router, endpoint) // the client was first
		requireRecv(t, router, "D", "hello", "server")
		requireRecv(t, router, "D", "queued")
		requireRecv(t, client, "welcome")
		require.NoError(t, router.Close())
		requireRecv(t, client, "hiccup")

		router = server()
		closing(t, router)
		bind(t, router, endpoint)
		requireRecv(t, router, "D", "hello", "server")
		requireRecv(t, client, "welcome")
		send(t, client, "the last")
		require.NoError(t, client.Close())
		requireRecv(t, router, "D", "the last")
		requireRecv(t, router, "D", "gone", "for good")
		requireNothing(t, router)
		_, err := client.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrClosed, "no hiccup at the end of one's own choice")
	})
}

// Behaviour 35: after a ROUTER has disconnected a peer by its routing id, the peer cannot be sent to.
func TestBehaviour35_PeerDisconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		await := watch(t, router)
		dealer := dealerAs(t, "D", socket.WithReconnect(time.Minute, time.Minute))
		awaitDealer := watch(t, dealer)
		join(t, transport, router, dealer)
		send(t, router, "D", "before")
		requireRecv(t, dealer, "before")
		require.NoError(t, router.KickID([]byte("D")))
		require.ErrorIs(t, trySend(router, "D", "after"), socket.ErrNoPeer)
		require.ErrorIs(t, router.KickID([]byte("D")), socket.ErrNoPeer)
		assert.ErrorContains(t, await(socket.Disconnected).Err, "kicked")
		assert.ErrorContains(t, awaitDealer(socket.Disconnected).Err, "kicked")
		assert.Empty(t, router.Peers())
	})
}
