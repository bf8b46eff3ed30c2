package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 52: sending and receiving MUST be atomic, each a single call for a whole message; the pattern MUST NOT allow multipart messages.
// RFC 52, CHANNEL: MUST NOT send multipart messages.
// RFC 52, CHANNEL: MUST discard any part of a multipart message.
func TestRFC52_CHANNEL_NoMultipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		channel := socket.NewChannel()
		requireNoMultipart(t, channel)
		checkDiscardsMultipart(t, transport, channel, "CHANNEL")
	})
}

// RFC 52, CHANNEL: MAY be connected to at most one CHANNEL peer.
// RFC 52, CHANNEL: SHALL receive incoming messages from its single peer if it has one.
func TestRFC52_CHANNEL_HasOnePeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		channel := socket.NewChannel()
		endpoint := bound(t, transport, channel)
		requireNothing(t, channel)
		first := rawPeer(t, endpoint, "CHANNEL")
		awaitPeers(t, channel, 1)
		events := watch(t, channel)
		second := dialRaw(t, endpoint)
		second.SendGreeting(1, "NULL")
		second.ExpectClosed()
		require.ErrorContains(t, events(socket.HandshakeFailed).Err, "this CHANNEL socket has its peer")
		first.SendMessage("from the one")
		requireRecv(t, channel, "from the one")
		send(t, ofChannel(channel), "to the one")
		require.Equal(t, []string{"to the one"}, first.ReadMessage())
		require.ErrorIs(t, channel.Connect(unbound(t, transport)), socket.ErrState)
	})
}

// RFC 52, CHANNEL: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 52, CHANNEL: SHALL deliver these to its calling application.
func TestRFC52_CHANNEL_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPassesBodies(t, transport, ofChannel(socket.NewChannel()), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHALL maintain a double queue for its peer, so that outgoing and incoming messages are queued independently.
func TestRFC52_CHANNEL_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkIndependentQueues(t, transport, ofChannel(socket.NewChannel(socket.WithSendHWM(3), socket.WithRecvHWM(3))), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC52_CHANNEL_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, ofChannel(socket.NewChannel(swift())), func() puller { return socket.NewChannel() })
		checkInboxOutlivesConnection(t, transport, socket.NewChannel(swift()), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC52_CHANNEL_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, ofChannel(socket.NewChannel(socket.WithSendHWM(5), socket.WithLinger(0))), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC52_CHANNEL_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewChannel(), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 52, CHANNEL: SHALL consider its peer as available only while its outgoing queue is not full.
// RFC 52, CHANNEL: SHALL not accept further messages while it has no available peer.
// RFC 52, CHANNEL: SHALL NOT discard messages that it cannot queue.
func TestRFC52_CHANNEL_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, ofChannel(socket.NewChannel(socket.WithSendHWM(7), swift())), socket.NewChannel())
		checkFullInbox(t, transport, socket.NewChannel(socket.WithRecvHWM(3)), "CHANNEL")
	})
}

// RFC 52, CHANNEL: SHALL block on sending, or return a suitable error, while it has no available peer.
func TestRFC52_CHANNEL_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, ofChannel(socket.NewChannel()), socket.NewChannel())
	})
}

// RFC 52, CHANNEL: MUST be thread-safe and allow receiving and sending from several threads at once.
func TestRFC52_CHANNEL_ManyGoroutines(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewChannel(), socket.NewChannel()
		join(t, transport, a, b)
		checkManySenders(t, ofChannel(a), b)
		checkManySenders(t, ofChannel(b), a)
	})
}
