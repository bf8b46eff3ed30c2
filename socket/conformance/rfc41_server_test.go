package conformance

import (
	"testing"

	"github.com/meshmq/meshmq/socket"
)

// RFC 41, SERVER: MUST NOT send multi-part messages.
// RFC 41, SERVER: MUST discard any part of a multipart message.
func TestRFC41_SERVER_NoMultipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server := socket.NewServer()
		requireNoMultipart(t, server)
		checkDiscardsMultipart(t, transport, server, "CLIENT")
	})
}

// RFC 41, SERVER: MAY be connected to any number of CLIENT peers, and MAY both send and receive messages.
// RFC 41, SERVER: SHALL identify each double queue by a unique routing id, which is a 32-bit unsigned integer and not zero.
// RFC 41, SERVER: SHALL NOT allow the peer to specify its routing id.
// RFC 41, SERVER: SHALL provide the application with a way to get the routing id of a message.
// RFC 41, SERVER: SHALL provide the application with a way to set the routing id of a message.
// RFC 41, SERVER: SHALL route the message to the outgoing queue if that exists and is not full.
func TestRFC41_SERVER_NumbersPeers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkNumbersPeers(t, transport, socket.NewServer(), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 41, SERVER: SHALL deliver the resulting messages to its calling application.
func TestRFC41_SERVER_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPassesByNumber(t, transport, socket.NewServer(), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL return an error if the queue does not exist.
func TestRFC41_SERVER_UnknownNumber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkUnknownNumber(t, transport, socket.NewServer(), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL maintain a double queue for each connected peer, so that outgoing and incoming messages are queued independently.
// RFC 41, SERVER: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 41, SERVER: SHALL block on sending while the queue is full, unless it is configured otherwise.
// RFC 41, SERVER: SHALL NOT discard messages that it cannot queue.
func TestRFC41_SERVER_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullNumber(t, transport, socket.NewServer(socket.WithSendHWM(3), socket.WithRecvHWM(3)), "CLIENT")
		checkInboxPerPeer(t, transport, socket.NewServer(socket.WithRecvHWM(3)), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC41_SERVER_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkNumberOutlivesConnection(t, transport, socket.NewServer(swift()), "CLIENT")
		checkInboxOutlivesConnection(t, transport, socket.NewServer(swift()), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC41_SERVER_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysNumber(t, transport, socket.NewServer(socket.WithSendHWM(5), socket.WithLinger(0)), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC41_SERVER_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewServer(), "CLIENT")
	})
}

// RFC 41, SERVER: SHALL receive from its peers with a fair-queuing strategy.
func TestRFC41_SERVER_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewServer(socket.WithRecvHWM(10)), "CLIENT")
	})
}
