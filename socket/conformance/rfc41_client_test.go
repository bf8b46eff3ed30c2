package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 41: sending and receiving MUST be atomic, each a single call for a whole message; the pattern MUST NOT allow multipart messages.
// RFC 41, CLIENT: MUST NOT send multipart messages.
// RFC 41, CLIENT: MUST discard any part of a multipart message.
func TestRFC41_CLIENT_NoMultipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		client := socket.NewClient()
		requireNoMultipart(t, client)
		checkDiscardsMultipart(t, transport, client, "SERVER")
	})
}

// RFC 41, CLIENT: MAY be connected to any number of SERVER peers, and MAY both send and receive messages.
// RFC 41, CLIENT: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 41, CLIENT: SHALL deliver these to its calling application.
func TestRFC41_CLIENT_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPassesBodies(t, transport, ofClient(socket.NewClient()), "SERVER")
	})
}

// RFC 41, CLIENT: SHALL maintain a double queue for each connected peer, so that outgoing and incoming messages are queued independently.
func TestRFC41_CLIENT_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkIndependentQueues(t, transport, ofClient(socket.NewClient(socket.WithSendHWM(3), socket.WithRecvHWM(3))), "SERVER")
		checkInboxPerPeer(t, transport, socket.NewClient(socket.WithRecvHWM(3)), "SERVER")
	})
}

// RFC 41, CLIENT: SHALL consider a peer as available only while its outgoing queue is not full.
func TestRFC41_CLIENT_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		client := socket.NewClient(socket.WithSendHWM(3), swift())
		checkQueuePerPeer(t, transport, ofClient(client), socket.NewServer(), socket.NewServer())
	})
}

// RFC 41, CLIENT: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC41_CLIENT_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, ofClient(socket.NewClient(swift())), func() puller { return socket.NewServer() })
		checkInboxOutlivesConnection(t, transport, socket.NewClient(swift()), "SERVER")
	})
}

// RFC 41, CLIENT: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC41_CLIENT_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, ofClient(socket.NewClient(socket.WithSendHWM(5), socket.WithLinger(0))), "SERVER")
	})
}

// RFC 41, CLIENT: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC41_CLIENT_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewClient(), "SERVER")
	})
}

// RFC 41, CLIENT: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 41, CLIENT: SHALL not accept further messages while it has no available peers.
// RFC 41, CLIENT: SHALL NOT discard messages that it cannot queue.
func TestRFC41_CLIENT_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, ofClient(socket.NewClient(socket.WithSendHWM(7), swift())), socket.NewServer())
		checkFullInbox(t, transport, socket.NewClient(socket.WithRecvHWM(3)), "SERVER")
	})
}

// RFC 41, CLIENT: SHALL route messages to the available peers in turn.
func TestRFC41_CLIENT_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkRoundRobin(t, transport, ofClient(socket.NewClient()), func() puller { return socket.NewServer() })
	})
}

// RFC 41, CLIENT: SHALL block on sending, or return a suitable error, while it has no available peers.
func TestRFC41_CLIENT_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, ofClient(socket.NewClient()), socket.NewServer())
	})
}

// RFC 41, CLIENT: SHALL receive from its peers with a fair-queuing strategy.
func TestRFC41_CLIENT_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewClient(socket.WithRecvHWM(10)), "SERVER")
	})
}

// RFC 41, CLIENT: MUST be thread-safe and allow receiving and sending from several threads at once.
func TestRFC41_CLIENT_ManyGoroutines(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server, client := socket.NewServer(), socket.NewClient()
		join(t, transport, server, client)
		checkManySenders(t, ofClient(client), server)
		send(t, ofClient(client), "who am I")
		id := recv(t, server).RoutingID()
		require.NotZero(t, id)
		checkManySenders(t, to(server, id), client)
	})
}
