package socket_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Clients send, the server answers each by number, in another order than they came.
func TestClientServer_Echo(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server := socket.NewServer()
		bound := bind(t, server, fresh(t, transport))
		clients := make([]*socket.Client, 3)
		for i := range clients {
			clients[i] = socket.NewClient()
			require.NoError(t, clients[i].Connect(bound))
			require.NoError(t, clients[i].Send(limit(t), fmt.Appendf(nil, "request %d", i)))
			closing(t, clients[i])
		}
		closing(t, server)
		var got []socket.Msg
		ids := map[uint32]bool{}
		for range clients {
			m := recv(t, server)
			require.NotZero(t, m.RoutingID())
			require.Equal(t, m.RoutingID(), m.Peer().Number())
			ids[m.RoutingID()] = true
			got = append(got, m)
		}
		require.Len(t, ids, len(clients))
		for i := range got {
			m := got[len(got)-1-i]
			require.NoError(t, server.Send(limit(t), m.RoutingID(), []byte("re: "+m.String())))
		}
		for i, client := range clients {
			m := recv(t, client)
			requireMsg(t, m, fmt.Sprintf("re: request %d", i))
			require.Zero(t, m.RoutingID())
		}
		require.Zero(t, socket.Msg{}.RoutingID())
	})
}

func TestServer_UnknownID(t *testing.T) {
	t.Parallel()
	server, client := socket.NewServer(), socket.NewClient()
	join(t, "tcp", server, client)
	require.ErrorIs(t, server.Send(limit(t), 0, text("x")), socket.ErrNoPeer)
	require.NoError(t, client.Send(limit(t), text("hello")))
	id := recv(t, server).RoutingID()
	require.ErrorIs(t, server.Send(limit(t), id+1, text("x")), socket.ErrNoPeer)
	left := watch(t, server)
	require.NoError(t, client.Close())
	left(socket.Disconnected)
	require.ErrorIs(t, server.Send(limit(t), id, text("x")), socket.ErrNoPeer)
}

func recvNothing(t *testing.T, s recver) {
	t.Helper()
	_, err := s.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
}

// Send blocks while the queue of the peer is full, others are served meanwhile; it fails when the peer leaves.
func TestServer_FullBlocks(t *testing.T) {
	t.Parallel()
	server := socket.NewServer(socket.WithSendHWM(10), socket.WithHeartbeat(0, 0))
	closing(t, server)
	bound := bind(t, server, "tcp://127.0.0.1:0")
	slow := sockettest.DialRaw(t, bound)
	slow.Handshake("CLIENT", 1)
	slow.SendMessage("slow")
	id := recv(t, server).RoutingID()
	body := make([]byte, 1<<20)
	for {
		if err := server.Send(soon(t), id, body); err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			require.ErrorIs(t, err, socket.ErrTimeout)
			break
		}
	}
	failed := make(chan error, 1)
	go func() {
		err := server.Send(limit(t), id, body)
		for err == nil { // the system took some more
			err = server.Send(limit(t), id, body)
		}
		failed <- err
	}()

	client := socket.NewClient()
	closing(t, client)
	require.NoError(t, client.Connect(bound))
	require.NoError(t, client.Send(limit(t), text("quick")))
	require.NoError(t, server.Send(limit(t), recv(t, server).RoutingID(), text("served")))
	requireMsg(t, recv(t, client), "served")

	slow.Close()
	require.ErrorIs(t, <-failed, socket.ErrNoPeer)
}

// The number of an endpoint stays what it was when the connection was given up and is sought again.
func TestP2P_ConnectPeerAgain(t *testing.T) {
	t.Parallel()
	a, b := socket.NewP2P(socket.WithoutReconnect()), socket.NewP2P()
	closing(t, a, b)
	await := watch(t, a)
	endpoint := unused(t)
	id, err := a.ConnectPeer(endpoint)
	require.NoError(t, err)
	await(socket.GaveUp)
	require.ErrorIs(t, a.Send(limit(t), id, text("x")), socket.ErrNoPeer)
	bind(t, b, endpoint)
	again, err := a.ConnectPeer(endpoint)
	require.NoError(t, err)
	require.Equal(t, id, again)
	require.NoError(t, a.Send(limit(t), id, text("x")))
	requireMsg(t, recv(t, b), "x")
}

// An endpoint that a SERVER or PEER connects to keeps its number, and what is queued for it, through a reconnect.
func TestP2P_ConnectPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewP2P(swift()), socket.NewP2P()
		closing(t, a)
		bound := bind(t, b, fresh(t, transport))
		id, err := a.ConnectPeer(bound)
		require.NoError(t, err)
		require.NotZero(t, id)
		again, err := a.ConnectPeer(bound)
		require.NoError(t, err)
		require.Equal(t, id, again)

		require.NoError(t, a.Send(limit(t), id, text("ping")))
		m := recv(t, b)
		requireMsg(t, m, "ping")
		require.NoError(t, b.Send(limit(t), m.RoutingID(), text("pong")))
		m = recv(t, a)
		requireMsg(t, m, "pong")
		require.Equal(t, id, m.RoutingID())

		lost := watch(t, a)
		require.NoError(t, b.Close())
		lost(socket.Disconnected)
		require.NoError(t, a.Send(limit(t), id, text("kept")))
		c := socket.NewP2P()
		closing(t, c)
		bind(t, c, bound)
		requireMsg(t, recv(t, c), "kept")

		require.NoError(t, a.Disconnect(bound))
		require.ErrorIs(t, a.Send(limit(t), id, text("x")), socket.ErrNoPeer)
		_, err = a.ConnectPeer("nonsense")
		require.ErrorIs(t, err, socket.ErrEndpoint)
		next, err := a.ConnectPeer(bound)
		require.NoError(t, err)
		require.NotEqual(t, id, next)
	})
}

func TestScatterGather_EachInTurn(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		scatter := socket.NewScatter()
		gathers := []*socket.Gather{socket.NewGather(), socket.NewGather()}
		closing(t, scatter)
		bound := bind(t, scatter, fresh(t, transport))
		for _, g := range gathers {
			closing(t, g)
			require.NoError(t, g.Connect(bound))
		}
		require.NoError(t, scatter.WaitPeers(limit(t), 2))
		for i := range 10 {
			require.NoError(t, scatter.Send(limit(t), fmt.Append(nil, i)))
		}
		for _, g := range gathers {
			for range 5 {
				require.Len(t, recv(t, g).Frames, 1)
			}
			recvNothing(t, g)
		}
	})
}

func TestChannel_OnePeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewChannel(), socket.NewChannel()
		bound := join(t, transport, a, b)
		require.NoError(t, a.Send(limit(t), text("there")))
		requireMsg(t, recv(t, b), "there")
		require.NoError(t, b.Send(limit(t), text("and back")))
		requireMsg(t, recv(t, a), "and back")

		third := socket.NewChannel(swift())
		refused := watch(t, a)
		closing(t, third)
		require.NoError(t, third.Connect(bound))
		require.ErrorContains(t, refused(socket.HandshakeFailed).Err, "this CHANNEL socket has its peer")
		require.ErrorIs(t, b.Connect("inproc://"+t.Name()+"/another"), socket.ErrState)
	})
}

// Messages of several frames are dropped and counted, those around them are delivered.
func TestThreadSafe_DropsMultipart(t *testing.T) {
	for _, tc := range []struct {
		peer   string
		victim interface {
			connector
			recver
			Stats() socket.Stats
		}
	}{
		{"CLIENT", socket.NewServer()},
		{"SERVER", socket.NewClient()},
		{"SCATTER", socket.NewGather()},
		{"CHANNEL", socket.NewChannel()},
		{"PEER", socket.NewP2P()},
	} {
		t.Run(tc.peer, func(t *testing.T) {
			t.Parallel()
			closing(t, tc.victim)
			raw := sockettest.DialRaw(t, bind(t, tc.victim, "tcp://127.0.0.1:0"))
			raw.Handshake(tc.peer, 1)
			raw.SendMessage("first")
			raw.SendMessage("of", "two")
			raw.SendMessage("of", "", "three")
			raw.SendMessage("last")
			requireMsg(t, recv(t, tc.victim), "first")
			requireMsg(t, recv(t, tc.victim), "last")
			require.Equal(t, map[socket.DropReason]uint64{socket.DropMalformed: 2}, tc.victim.Stats().Dropped)
		})
	}
}

// All of these sockets may be used by many goroutines at once, and no message is lost or torn by that.
func TestThreadSafe_Concurrent(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const goroutines, each = 8, 200
		server, client := socket.NewServer(), socket.NewClient()
		join(t, transport, server, client)
		ctx, cancel := context.WithCancel(limit(t))
		var serving, asking sync.WaitGroup
		for range goroutines {
			serving.Go(func() {
				for m := range server.Messages(ctx) {
					assert.NoError(t, server.Send(ctx, m.RoutingID(), m.Bytes()))
				}
			})
		}
		var mu sync.Mutex
		got := map[string]int{}
		for g := range goroutines {
			asking.Go(func() {
				for i := range each {
					assert.NoError(t, client.Send(ctx, fmt.Appendf(nil, "%d/%d", g, i)))
					m, err := client.Recv(ctx)
					assert.NoError(t, err)
					mu.Lock()
					got[m.String()]++
					mu.Unlock()
				}
			})
		}
		asking.Wait()
		cancel()
		serving.Wait()
		require.Len(t, got, goroutines*each)
	})
}
