package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// identified is a raw peer that announces an identity, which is its X-Name too.
func identified(t *testing.T, endpoint, socketType, id string) *sockettest.RawPeer {
	t.Helper()
	return rawPeer(t, endpoint, socketType, sockettest.Property{Name: "Identity", Value: id}, sockettest.Property{Name: "X-Name", Value: id})
}

// RFC 28, ROUTER: MAY be connected to any number of REQ, DEALER or ROUTER peers, and MAY both send and receive messages.
// RFC 28, ROUTER: SHALL prefix each incoming message with a frame that holds the identity of the double queue it came from.
// RFC 28, ROUTER: SHALL deliver the resulting messages to its calling application.
// RFC 28, ROUTER: SHALL remove the first frame of each outgoing message and use it as the identity of a double queue.
// RFC 28, ROUTER: SHALL route the message to the outgoing queue if that exists and has space.
func TestRFC28_ROUTER_RoutesByFirstFrame(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		peers := map[string]*sockettest.RawPeer{}
		for _, socketType := range []string{"REQ", "DEALER", "ROUTER"} {
			peers[socketType] = identified(t, endpoint, socketType, "a "+socketType)
		}
		awaitPeers(t, router, len(peers))
		for _, frames := range oddMessages() {
			for name, raw := range peers {
				id := "a " + name
				raw.SendMessage(frames...)
				requireRecv(t, router, append([]string{id}, frames...)...)
				send(t, router, append([]string{id}, frames...)...)
				require.Equal(t, frames, raw.ReadMessage())
			}
		}
	})
}

// RFC 28, ROUTER: SHALL identify each double queue by a unique identity, a string of bytes.
func TestRFC28_ROUTER_IdentifiesPeersUniquely(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const n = 50
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		peers := map[string]*sockettest.RawPeer{}
		for i := range n {
			raw := rawPeer(t, endpoint, "DEALER")
			raw.SendMessage(fmt.Sprint(i))
			m := recv(t, router)
			require.Equal(t, fmt.Sprint(i), m.String())
			require.NotEmpty(t, m.Frames[0])
			peers[string(m.Frames[0])] = raw
		}
		require.Len(t, peers, n)
		for id := range peers {
			send(t, router, id, "to "+id)
		}
		for id, raw := range peers {
			require.Equal(t, []string{"to " + id}, raw.ReadMessage())
		}
	})
}

// RFC 28, ROUTER: SHALL identify each double queue by a unique identity, also when two peers announce the same one.
func TestRFC28_ROUTER_OnePeerPerIdentity(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		first := identified(t, endpoint, "DEALER", "same")
		awaitPeers(t, router, 1)
		gone := watch(t, router)
		second := identified(t, endpoint, "DEALER", "same")
		first.ExpectClosed()
		gone(socket.Disconnected)
		for i := range 5 {
			send(t, router, "same", fmt.Sprint(i))
			require.Equal(t, []string{fmt.Sprint(i)}, second.ReadMessage())
		}
	})
}

// RFC 28, ROUTER: SHOULD allow the peer to specify its identity by the Identity property of its metadata.
func TestRFC28_ROUTER_TakesIdentityOfPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		for _, id := range []string{"x", "\x01\xff\x00", strings.Repeat("i", 255)} {
			raw := identified(t, endpoint, "DEALER", id)
			raw.SendMessage("hello")
			requireRecv(t, router, id, "hello")
			send(t, router, id, "hello yourself")
			require.Equal(t, []string{"hello yourself"}, raw.ReadMessage())
		}
	})
}

// RFC 28, ROUTER: SHALL maintain a double queue for each connected peer, so that outgoing and incoming messages are queued independently.
// RFC 28, ROUTER: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
func TestRFC28_ROUTER_DoubleQueues(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithSendHWM(3), socket.WithRecvHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		full, other := identified(t, endpoint, "DEALER", "full"), identified(t, endpoint, "DEALER", "other")
		awaitPeers(t, router, 2)
		fill(t, router, "full")
		send(t, router, "other", "goes on") // out, to another
		require.Equal(t, []string{"goes on"}, other.ReadMessage())
		full.SendMessage("goes on too") // in, from the same
		requireRecv(t, router, "full", "goes on too")
		clog(t, router, other, strings.Repeat("e", 64<<10))
		send(t, router, "other", "out while in is full")
		require.Equal(t, []string{"out while in is full"}, other.ReadMessage())
		checkInboxPerPeer(t, transport, socket.NewRouter(socket.WithRecvHWM(3)), "DEALER")
	})
}

// routerTo is a ROUTER as the peer id alone sees it.
type routerTo struct {
	*socket.Router
	id string
}

func (r routerTo) Connect(endpoint string) error { return r.ConnectAs(r.id, endpoint) }

func (r routerTo) Send(ctx context.Context, frames ...[]byte) error {
	return r.Router.Send(ctx, append([][]byte{[]byte(r.id)}, frames...)...)
}

// RFC 28, ROUTER: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC28_ROUTER_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, routerTo{socket.NewRouter(swift()), "peer"}, func() puller { return socket.NewDealer() })
		checkQueueSurvivesLoss(t, transport, routerTo{socket.NewRouter(socket.WithSendHWM(5), swift()), "peer"}, "DEALER")
		checkInboxOutlivesConnection(t, transport, socket.NewRouter(swift()), "DEALER")
	})
}

// RFC 28, ROUTER: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
//
// Differs: when the peer is not named by ConnectAs, it tells in its handshake by which identity it is addressed. Before that, and after the connection
// ended, there is nothing that a message could be for; Send says so (ErrNoPeer).
func TestRFC28_ROUTER_NoQueueWithoutConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(swift())
		closing(t, router)
		l := listenRaw(t, fresh(transport))
		connect(t, router, l.Endpoint)
		require.ErrorIs(t, trySend(router, "peer", "before"), socket.ErrNoPeer)
		identity := sockettest.Property{Name: "Identity", Value: "peer"}
		raw := l.Peer("DEALER", identity)
		awaitPeers(t, router, 1)
		send(t, router, "peer", "meanwhile")
		require.Equal(t, []string{"meanwhile"}, raw.ReadMessage())
		gone := watch(t, router)
		raw.Close()
		gone(socket.Disconnected)
		require.ErrorIs(t, trySend(router, "peer", "after"), socket.ErrNoPeer)
		raw = l.Peer("DEALER", identity)
		awaitPeers(t, router, 1)
		send(t, router, "peer", "again")
		require.Equal(t, []string{"again"}, raw.ReadMessage())
	})
}

// RFC 28, ROUTER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
// Behaviour 17: a message to a peer that is gone is an error, with ZMQ_ROUTER_MANDATORY (which is our default).
func TestRFC28_ROUTER_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithSendHWM(5), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		raw := identified(t, endpoint, "DEALER", "peer")
		awaitPeers(t, router, 1)
		fill(t, router, "peer", "old")
		require.Positive(t, router.Stats().Peers[0].QueueMessages)
		gone := watch(t, router)
		raw.Close()
		gone(socket.Disconnected)
		require.ErrorIs(t, trySend(router, "peer", "nobody there"), socket.ErrNoPeer)
		require.Positive(t, router.Stats().Dropped[socket.DropPeerGone])
		raw = identified(t, endpoint, "DEALER", "peer")
		awaitPeers(t, router, 1)
		for i := range 5 {
			require.NoError(t, trySend(router, "peer", "new", fmt.Sprint(i)))
		}
		for i := range 5 {
			require.Equal(t, []string{"new", fmt.Sprint(i)}, raw.ReadMessage())
		}
		raw.ExpectSilence(20 * time.Millisecond)
	})
}

// RFC 28, ROUTER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
// Behaviour 17: what had arrived from a peer of a ROUTER that went is not delivered any more.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know. libzmq
// delivers it too, and has its test of this switched off.
func TestRFC28_ROUTER_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewRouter(), "DEALER")
	})
}

// RFC 28, ROUTER: SHALL receive incoming messages from its peers with a fair-queuing strategy.
func TestRFC28_ROUTER_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewRouter(socket.WithRecvHWM(10)), "DEALER")
	})
}

// Behaviour 16: of peers that send one message each in every round, each appears once per round.
func TestBehaviour16_RouterFairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkTurns(t, transport, socket.NewRouter(), "DEALER")
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		peers := map[string]*sockettest.RawPeer{}
		for _, id := range []string{"A", "B", "C", "D", "E"} {
			peers[id] = identified(t, endpoint, "DEALER", id)
		}
		for range 5 {
			for _, raw := range peers {
				raw.SendMessage("m")
			}
			seen := map[string]bool{}
			for range peers {
				seen[string(recv(t, router).Frames[0])] = true
			}
			require.Len(t, seen, len(peers))
		}
	})
}

// RFC 28, ROUTER: SHALL either silently drop the message, or return an error, depending on configuration, if the queue does not exist or is full.
func TestRFC28_ROUTER_ReportsUnroutable(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithSendHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		require.ErrorIs(t, router.Send(limit(t), bodies("nobody", "x")...), socket.ErrNoPeer)
		require.ErrorIs(t, router.Send(limit(t), bodies("", "x")...), socket.ErrNoPeer)
		raw := identified(t, endpoint, "DEALER", "full")
		awaitPeers(t, router, 1)
		require.ErrorIs(t, router.Send(limit(t), bodies("nobody", "x")...), socket.ErrNoPeer)
		n := fill(t, router, "full")
		for i := range n { // all that was taken arrives, and nothing that was not
			require.Equal(t, i, filled(t, raw.ReadMessage()))
		}
		raw.ExpectSilence(20 * time.Millisecond)
	})
}

// RFC 28, ROUTER: SHALL either silently drop the message, or return an error, depending on configuration (here WithMandatory(false)), if the queue does not
// exist or is full.
// RFC 28, ROUTER: SHALL NOT block on sending (with WithMandatory(false)).
func TestRFC28_ROUTER_DropsUnroutable(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithMandatory(false), socket.WithSendHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		send(t, router, "nobody", "x")
		require.EqualValues(t, 1, router.Stats().Dropped[socket.DropUnroutable])
		raw := identified(t, endpoint, "DEALER", "full")
		awaitPeers(t, router, 1)
		large := strings.Repeat("l", 64<<10)
		sent := 0
		for router.Stats().Dropped[socket.DropFull] == 0 {
			require.Less(t, sent, 1000, "the peer does not read: its queue must be full some time")
			send(t, router, "full", fmt.Sprint(sent), large)
			sent++
		}
		for i := range sent - 1 { // the last one was dropped
			require.Equal(t, fmt.Sprint(i), raw.ReadMessage()[0])
		}
		raw.ExpectSilence(20 * time.Millisecond)
	})
}

// RFC 28, ROUTER: SHALL NOT block on sending.
//
// Differs: by default, while the queue of the addressed peer is full, Send waits as long as its context allows, since what is dropped silently is lost silently, and
// other callers can send to other peers meanwhile. With a context that has ended it never blocks.
func TestRFC28_ROUTER_BlocksAsLongAsTheContextAllows(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter(socket.WithSendHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, router)
		full, other := identified(t, endpoint, "DEALER", "full"), identified(t, endpoint, "DEALER", "other")
		awaitPeers(t, router, 2)
		n := fill(t, router, "full")
		err := trySend(router, "full", "a try")
		require.ErrorIs(t, err, socket.ErrFull)
		require.NotErrorIs(t, err, socket.ErrTimeout)
		sent := sending(limit(t), router, "full", "waited")
		send(t, router, "other", "goes on")
		require.Equal(t, []string{"goes on"}, other.ReadMessage())
		for i := range n {
			require.Equal(t, i, filled(t, full.ReadMessage()))
		}
		require.NoError(t, <-sent)
		require.Equal(t, []string{"waited"}, full.ReadMessage())
	})
}
