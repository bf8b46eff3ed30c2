package conformance

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 49: sending and receiving MUST be atomic, each a single call for a whole message; the pattern MUST NOT allow multipart messages.
// RFC 49, SCATTER: MUST NOT send multipart messages.
// RFC 49, SCATTER: MAY be connected to any number of GATHER peers, and SHALL only send messages.
func TestRFC49_SCATTER_SendsBodies(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		scatter := socket.NewScatter()
		requireNoMultipart(t, scatter)
		_, receives := any(scatter).(recver)
		require.False(t, receives)
		raw := rawPeer(t, bound(t, transport, scatter), "GATHER")
		raw.SendMessage("against the rules")
		eventually(t, func() bool { return scatter.Stats().Dropped[socket.DropUnwanted] == 1 }, "the message is dropped and counted")
		send(t, ofScatter(scatter), "goes on")
		require.Equal(t, []string{"goes on"}, raw.ReadMessage())
	})
}

// RFC 49, SCATTER: SHALL not filter or modify outgoing messages in any way.
func TestRFC49_SCATTER_SendsAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		scatter := socket.NewScatter()
		raw := rawPeer(t, bound(t, transport, scatter), "GATHER")
		awaitPeers(t, scatter, 1)
		for _, b := range oddBodies() {
			send(t, ofScatter(scatter), b)
			require.Equal(t, []string{b}, raw.ReadMessage())
		}
	})
}

// RFC 49, SCATTER: SHALL maintain an outgoing queue for each connected peer.
// RFC 49, SCATTER: SHALL consider a peer as available only while its outgoing queue is not full.
func TestRFC49_SCATTER_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		scatter := socket.NewScatter(socket.WithSendHWM(3), swift())
		checkQueuePerPeer(t, transport, ofScatter(scatter), socket.NewGather(), socket.NewGather())
	})
}

// RFC 49, SCATTER: SHALL create the queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC49_SCATTER_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, ofScatter(socket.NewScatter(swift())), func() puller { return socket.NewGather() })
	})
}

// RFC 49, SCATTER: SHALL create a queue when a peer connects to it; when that peer disconnects, SHALL destroy the queue and discard the messages in it.
func TestRFC49_SCATTER_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, ofScatter(socket.NewScatter(socket.WithSendHWM(5), socket.WithLinger(0))), "GATHER")
	})
}

// RFC 49, SCATTER: SHOULD constrain queue sizes to a limit that is set at run time.
// RFC 49, SCATTER: SHALL not accept further messages while it has no available peers.
// RFC 49, SCATTER: SHALL NOT discard messages that it cannot queue.
func TestRFC49_SCATTER_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, ofScatter(socket.NewScatter(socket.WithSendHWM(7), swift())), socket.NewGather())
	})
}

// RFC 49, SCATTER: SHALL route messages to the available peers in turn.
func TestRFC49_SCATTER_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkRoundRobin(t, transport, ofScatter(socket.NewScatter()), func() puller { return socket.NewGather() })
	})
}

// RFC 49, SCATTER: SHALL block on sending, or return a suitable error, while it has no available peers.
func TestRFC49_SCATTER_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, ofScatter(socket.NewScatter()), socket.NewGather())
	})
}

// RFC 49, SCATTER: MUST be thread-safe and allow sending from several threads at once.
// RFC 49, GATHER: MUST be thread-safe and allow receiving from several threads at once.
func TestRFC49_SCATTER_GATHER_ManyGoroutines(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		scatter, gather := socket.NewScatter(), socket.NewGather()
		join(t, transport, scatter, gather)
		checkManySenders(t, ofScatter(scatter), gather)
	})
}

// RFC 49, GATHER: MAY be connected to any number of SCATTER peers, and SHALL only receive messages.
func TestRFC49_GATHER_OnlyReceives(t *testing.T) {
	t.Parallel()
	_, sends := reflect.TypeFor[*socket.Gather]().MethodByName("Send")
	require.False(t, sends)
}

// RFC 49, GATHER: SHALL not filter or modify incoming messages in any way.
// RFC 49, GATHER: SHALL deliver these to its calling application.
// RFC 49, GATHER: MUST discard any part of a multipart message.
func TestRFC49_GATHER_DeliversBodies(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDiscardsMultipart(t, transport, socket.NewGather(), "SCATTER")
	})
}

// RFC 49, GATHER: SHALL maintain an incoming queue for each connected peer.
// RFC 49, GATHER: SHOULD constrain incoming queue sizes to a limit that is set at run time.
func TestRFC49_GATHER_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxPerPeer(t, transport, socket.NewGather(socket.WithRecvHWM(3)), "SCATTER")
	})
}

// RFC 49, GATHER: SHALL create the queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC49_GATHER_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxOutlivesConnection(t, transport, socket.NewGather(swift()), "SCATTER")
	})
}

// RFC 49, GATHER: SHALL create a queue when a peer connects to it; when that peer disconnects, SHALL destroy the queue and discard the messages in it.
//
// Differs: what has arrived is delivered. A SCATTER that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC49_GATHER_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewGather(), "SCATTER")
	})
}

// RFC 49, GATHER: SHALL receive from its peers with a fair-queuing strategy.
func TestRFC49_GATHER_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewGather(socket.WithRecvHWM(10)), "SCATTER")
	})
}
