package conformance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 31, PAIR: MAY be connected to at most one PAIR peer, and MAY both send and receive messages.
// RFC 31, PAIR: SHALL receive incoming messages from its single peer if it has one.
func TestRFC31_PAIR_HasOnePeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pair := socket.NewPair()
		endpoint := bound(t, transport, pair)
		requireNothing(t, pair)
		first := rawPeer(t, endpoint, "PAIR")
		awaitPeers(t, pair, 1)
		events := watch(t, pair)
		second := dialRaw(t, endpoint)
		second.SendGreeting(1, "NULL")
		second.ExpectClosed()
		require.ErrorContains(t, events(socket.HandshakeFailed).Err, "this PAIR socket has its peer")
		first.SendMessage("from the one")
		requireRecv(t, pair, "from the one")
		for i := range 5 {
			send(t, pair, fmt.Sprint(i))
			require.Equal(t, []string{fmt.Sprint(i)}, first.ReadMessage())
		}
	})
}

// RFC 31, PAIR: MAY be connected to at most one PAIR peer.
func TestRFC31_PAIR_ConnectsToOnePeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pair := socket.NewPair()
		closing(t, pair)
		connect(t, pair, unbound(t, transport))
		require.ErrorIs(t, pair.Connect(unbound(t, transport)), socket.ErrState)
	})
}

// RFC 31, PAIR: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 31, PAIR: SHALL deliver these to its calling application.
func TestRFC31_PAIR_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPassesAsIs(t, transport, socket.NewPair(), "PAIR")
	})
}

// RFC 31, PAIR: SHALL maintain a double queue for its peer, so that outgoing and incoming messages are queued independently.
func TestRFC31_PAIR_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkIndependentQueues(t, transport, socket.NewPair(socket.WithSendHWM(3), socket.WithRecvHWM(3)), "PAIR")
	})
}

// RFC 31, PAIR: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC31_PAIR_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, socket.NewPair(swift()), func() puller { return socket.NewPair() })
		checkQueueSurvivesLoss(t, transport, socket.NewPair(socket.WithSendHWM(5), swift()), "PAIR")
		checkInboxOutlivesConnection(t, transport, socket.NewPair(swift()), "PAIR")
	})
}

// RFC 31, PAIR: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC31_PAIR_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, socket.NewPair(socket.WithSendHWM(5), socket.WithLinger(0)), "PAIR")
	})
}

// RFC 31, PAIR: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC31_PAIR_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewPair(), "PAIR")
	})
}

// RFC 31, PAIR: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 31, PAIR: SHALL consider its peer as available only while its outgoing queue is not full.
// RFC 31, PAIR: SHALL not accept further messages while it has no available peer.
// RFC 31, PAIR: SHALL NOT discard messages that it cannot queue.
func TestRFC31_PAIR_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, socket.NewPair(socket.WithSendHWM(7), swift()), socket.NewPair())
		checkFullInbox(t, transport, socket.NewPair(socket.WithRecvHWM(3)), "PAIR")
	})
}

// RFC 31, PAIR: SHALL block on sending, or return a suitable error, while it has no available peer.
func TestRFC31_PAIR_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, socket.NewPair(), socket.NewPair())
	})
}
