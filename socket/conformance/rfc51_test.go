package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 51: sending and receiving MUST be atomic, each a single call for a whole message; the pattern MUST NOT allow multipart messages.
// RFC 51, PEER: MUST NOT send multi-part messages.
// RFC 51, PEER: MUST discard any part of a multipart message.
func TestRFC51_PEER_NoMultipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		peer := socket.NewP2P()
		requireNoMultipart(t, peer)
		checkDiscardsMultipart(t, transport, peer, "PEER")
	})
}

// RFC 51, PEER: SHALL provide the application with a way to connect and get the routing id of the double queue in one step.
// RFC 51, PEER: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC51_PEER_ConnectsAndNumbers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		near, far := socket.NewP2P(swift()), socket.NewP2P()
		closing(t, near, far)
		endpoint := unbound(t, transport)
		id, err := near.ConnectPeer(endpoint)
		require.NoError(t, err)
		require.NotZero(t, id)
		another, err := near.ConnectPeer(unbound(t, transport))
		require.NoError(t, err)
		require.NotEqual(t, id, another)
		require.NoError(t, near.Send(try(), id, []byte("before there is a connection")))
		bind(t, far, endpoint)
		m := recv(t, far)
		require.Equal(t, "before there is a connection", m.String())
		require.NoError(t, far.Send(limit(t), m.RoutingID(), []byte("back")))
		m = recv(t, near)
		require.Equal(t, "back", m.String())
		require.Equal(t, id, m.RoutingID())
		checkNumberOutlivesConnection(t, transport, socket.NewP2P(swift()), "PEER")
		checkInboxOutlivesConnection(t, transport, socket.NewP2P(swift()), "PEER")
	})
}

// RFC 51, PEER: MAY be connected to any number of PEER peers, and MAY both send and receive messages in any order.
// RFC 51, PEER: SHALL identify each double queue by a unique routing id, which is a 32-bit unsigned integer and not zero.
// RFC 51, PEER: SHALL NOT allow the peer to specify its routing id.
// RFC 51, PEER: SHALL provide the application with a way to get the routing id of a message.
// RFC 51, PEER: SHALL provide the application with a way to set the routing id of a message.
// RFC 51, PEER: SHALL route the message to the outgoing queue if that exists and is not full.
func TestRFC51_PEER_NumbersPeers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkNumbersPeers(t, transport, socket.NewP2P(), "PEER")
	})
}

// RFC 51, PEER: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 51, PEER: SHALL deliver the resulting messages to its calling application.
func TestRFC51_PEER_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPassesByNumber(t, transport, socket.NewP2P(), "PEER")
	})
}

// RFC 51, PEER: SHALL return an error if the queue does not exist.
func TestRFC51_PEER_UnknownNumber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkUnknownNumber(t, transport, socket.NewP2P(), "PEER")
	})
}

// RFC 51, PEER: SHALL maintain a double queue for each connected peer, so that outgoing and incoming messages are queued independently.
// RFC 51, PEER: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 51, PEER: SHALL block on sending while the queue is full, unless it is configured otherwise.
// RFC 51, PEER: SHALL NOT discard messages that it cannot queue.
func TestRFC51_PEER_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullNumber(t, transport, socket.NewP2P(socket.WithSendHWM(3), socket.WithRecvHWM(3)), "PEER")
		checkInboxPerPeer(t, transport, socket.NewP2P(socket.WithRecvHWM(3)), "PEER")
	})
}

// RFC 51, PEER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC51_PEER_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysNumber(t, transport, socket.NewP2P(socket.WithSendHWM(5), socket.WithLinger(0)), "PEER")
	})
}

// RFC 51, PEER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC51_PEER_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewP2P(), "PEER")
	})
}

// RFC 51, PEER: SHALL receive from its peers with a fair-queuing strategy.
func TestRFC51_PEER_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewP2P(socket.WithRecvHWM(10)), "PEER")
	})
}
