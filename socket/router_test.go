package socket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 28: a ROUTER knows its peers by the identity that they announce, or by an id of its own making, which starts with a zero octet.
func TestRFC28_RouterIdentities(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		closing(t, router)
		await := watch(t, router)
		endpoint := bind(t, router, fresh(t, transport))
		ids := map[string]bool{}
		for i := range 4 {
			var opts []socket.Option
			if i%2 == 0 {
				opts = append(opts, socket.WithIdentity(fmt.Sprintf("peer-%d", i)))
			}
			dealer := socket.NewDealer(opts...)
			closing(t, dealer)
			require.NoError(t, dealer.Connect(endpoint))
			send(t, dealer, "hello")
			m := recv(t, router)
			require.Len(t, m.Frames, 2)
			id := string(m.Frames[0])
			assert.Equal(t, id, m.Peer().RoutingID())
			assert.Equal(t, id, await(socket.Connected).Peer.RoutingID())
			if i%2 == 0 {
				assert.Equal(t, fmt.Sprintf("peer-%d", i), id)
				assert.Equal(t, id, m.Peer().Identity())
			} else {
				assert.Len(t, id, 5)
				assert.Zero(t, id[0])
				assert.Empty(t, m.Peer().Identity())
			}
			ids[id] = true
			send(t, router, id, "you are", id)
			requireMsg(t, recv(t, dealer), "you are", id)
		}
		assert.Len(t, ids, 4)
	})
}

// RFC 28 lets a ROUTER drop what it cannot route; here that is an error, and nothing is lost silently.
func TestRFC28_RouterUnroutable(t *testing.T) {
	t.Parallel()
	router, dealer := socket.NewRouter(), socket.NewDealer(socket.WithIdentity("d"))
	join(t, "tcp", router, dealer)
	require.NoError(t, router.WaitPeers(limit(t), 1))
	err := router.Send(limit(t), text("nobody"), text("x"))
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.ErrorContains(t, err, `"nobody"`)
	require.ErrorIs(t, router.Send(limit(t), text("d")), socket.ErrState, "no body")
	require.ErrorIs(t, router.Send(limit(t)), socket.ErrState)
	send(t, router, "d", "x")
	requireMsg(t, recv(t, dealer), "x")
	require.NoError(t, dealer.Close())
	require.Eventually(t, func() bool { return errors.Is(router.Send(limit(t), text("d"), text("x")), socket.ErrNoPeer) }, sockettest.Timeout, time.Millisecond)
}

// A peer that announces an identity in use takes it over: after a crash the new connection is the living one.
func TestRouter_Handover(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		first, second := socket.NewDealer(socket.WithIdentity("d"), socket.WithReconnect(time.Minute, time.Minute)), socket.NewDealer(socket.WithIdentity("d"))
		endpoint := join(t, transport, router, first)
		closing(t, second)
		send(t, first, "from the first")
		requireMsg(t, recv(t, router), "d", "from the first")
		await := watch(t, router)
		require.NoError(t, second.Connect(endpoint))
		send(t, second, "from the second")
		requireMsg(t, recv(t, router), "d", "from the second")
		assert.ErrorContains(t, await(socket.Disconnected).Err, "took over the identity")
		send(t, router, "d", "to the second")
		requireMsg(t, recv(t, second), "to the second")
	})
}

// A full queue of one peer blocks those who send to it, and nobody else.
func TestRouter_BlocksPerPeer(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter(socket.WithSendHWM(10), socket.WithLinger(0))
	closing(t, router)
	endpoint := bind(t, router, "tcp://127.0.0.1:0")
	raw := sockettest.DialRaw(t, endpoint)
	raw.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: "slow"})
	dealer := socket.NewDealer(socket.WithIdentity("quick"))
	closing(t, dealer)
	require.NoError(t, dealer.Connect(endpoint))
	require.NoError(t, router.WaitPeers(limit(t), 2))
	body := make([]byte, 256<<10)
	for {
		err := router.Send(soon(t), text("slow"), body)
		if err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			require.ErrorIs(t, err, socket.ErrTimeout)
			break
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	blocked := make(chan error)
	keepSending := func(ctx context.Context) { // until it fails: the system's buffers may take a little more any time
		for {
			if err := router.Send(ctx, text("slow"), body); err != nil {
				blocked <- err
				return
			}
		}
	}
	go keepSending(ctx)
	for i := range 100 {
		send(t, router, "quick", fmt.Sprint(i))
		requireMsg(t, recv(t, dealer), fmt.Sprint(i))
	}
	stop()
	require.ErrorIs(t, <-blocked, context.Canceled)
	go keepSending(context.Background())
	raw.Close()
	require.ErrorIs(t, <-blocked, socket.ErrNoPeer)
}

// RFC 28: a DEALER sends to its peers in turn, and receives from all of them fairly; frames pass as they are.
func TestRFC28_DealerRoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const peers, rounds = 3, 20
		dealer := socket.NewDealer()
		closing(t, dealer)
		var reps []*socket.Rep
		for i := range peers {
			rep := socket.NewRep()
			closing(t, rep)
			reps = append(reps, rep)
			endpoint := fresh(t, transport)
			if transport == "inproc" {
				endpoint += fmt.Sprint(i)
			}
			require.NoError(t, dealer.Connect(bind(t, rep, endpoint)))
		}
		require.NoError(t, dealer.WaitPeers(limit(t), peers))
		for i := range peers * rounds {
			send(t, dealer, "hop", "", fmt.Sprint(i))
		}
		got := map[string]bool{}
		for round := range rounds {
			for _, rep := range reps {
				m := recv(t, rep)
				require.NoError(t, rep.Send(limit(t), m.Frames...))
			}
			for range peers {
				m := recv(t, dealer)
				require.Equal(t, bodies("hop", ""), m.Frames[:2])
				got[m.String()] = true
			}
			require.Len(t, got, (round+1)*peers)
		}
	})
}

// A ROUTER before many DEALERs answers each by its own id, whatever the order.
func TestRouter_ManyPeers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		endpoint := bind(t, router, fresh(t, transport))
		var server, clients sync.WaitGroup
		for range 4 {
			server.Go(func() {
				for m, err := range router.Messages(context.Background()) {
					assert.NoError(t, err)
					assert.NoError(t, router.Send(limit(t), m.Frames...))
				}
			})
		}
		for c := range 10 {
			clients.Go(func() {
				dealer := socket.NewDealer()
				assert.NoError(t, dealer.Connect(endpoint))
				seen := map[string]bool{}
				for i := range 100 {
					assert.NoError(t, dealer.Send(limit(t), text(fmt.Sprintf("%d/%d", c, i))))
				}
				for range 100 {
					m, err := dealer.Recv(limit(t))
					assert.NoError(t, err)
					assert.Equal(t, fmt.Sprint(c), m.String()[:1])
					seen[m.String()] = true
				}
				assert.Len(t, seen, 100)
				assert.NoError(t, dealer.Close())
			})
		}
		clients.Wait()
		require.NoError(t, router.Close())
		server.Wait()
	})
}

// RFC 31: a PAIR has one peer. A second is refused, with an event, until the first has left.
func TestRFC31_PairHasOnePeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b, c := socket.NewPair(), socket.NewPair(), socket.NewPair(swift())
		endpoint := join(t, transport, a, b)
		closing(t, c)
		require.NoError(t, a.WaitPeers(limit(t), 1))
		await := watch(t, a)
		require.NoError(t, c.Connect(endpoint))
		refused := await(socket.HandshakeFailed)
		assert.ErrorContains(t, refused.Err, "has its peer")
		require.NotNil(t, refused.Peer)
		send(t, a, "to", "b")
		requireMsg(t, recv(t, b), "to", "b")
		send(t, b, "to a")
		requireMsg(t, recv(t, a), "to a")
		err := b.Connect("inproc://elsewhere")
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorContains(t, err, "inproc://elsewhere")
		require.NoError(t, b.Close())
		send(t, c, "my turn")
		requireMsg(t, recv(t, a), "my turn")
	})
}

// RFC 31: a PAIR blocks when it has no peer, or its peer is not reading, and drops nothing.
func TestRFC31_PairBlocks(t *testing.T) {
	t.Parallel()
	a, b := socket.NewPair(socket.WithSendHWM(5)), socket.NewPair(socket.WithRecvHWM(5))
	closing(t, b, a)
	require.ErrorIs(t, a.Send(try(), text("x")), socket.ErrNoPeer)
	require.NoError(t, a.Connect(bind(t, b, "inproc://"+t.Name())))
	sent := fill(t, a, 100<<10)
	for i := range sent {
		require.Equal(t, i, ordinalOf(recv(t, b)))
	}
}
