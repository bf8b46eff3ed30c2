package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 29, SUB: MAY be connected to any number of PUB or XPUB peers, and SHALL only receive messages.
func TestRFC29_SUB_OnlyReceives(t *testing.T) {
	t.Parallel()
	_, sends := any(socket.NewSub()).(sender)
	require.False(t, sends)
}

// RFC 29, SUB: SHALL maintain a single incoming message queue for each connected publisher.
// RFC 29, SUB: SHOULD constrain queue sizes to a limit that is set at run time.
func TestRFC29_SUB_QueuePerPublisher(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxPerPeer(t, transport, subscribed(t, socket.NewSub(socket.WithRecvHWM(3)), ""), "PUB")
	})
}

// RFC 29, SUB: SHALL create the queue of a publisher that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC29_SUB_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxOutlivesConnection(t, transport, subscribed(t, socket.NewSub(swift()), ""), "PUB")
	})
}

// RFC 29, SUB: SHALL create a queue when a publisher connects to it; when that publisher disconnects, SHALL destroy the queue and discard the messages in it.
//
// Differs: what has arrived is delivered. A publisher that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC29_SUB_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, subscribed(t, socket.NewSub(), ""), "XPUB")
	})
}

// RFC 29, SUB: SHALL silently discard messages if the queue for a publisher is full.
//
// Differs: it stops reading instead, as libzmq does, so that the publisher's queue fills and it is the publisher that drops, or waits, by
// its policy. There the drops are counted, for each subscriber.
func TestRFC29_SUB_StopsReading(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		sub := subscribed(t, socket.NewSub(socket.WithRecvHWM(3)), "")
		checkFullInbox(t, transport, sub, "PUB")
		require.Empty(t, sub.Stats().Dropped)
	})
}

// RFC 29, SUB: SHALL receive incoming messages from its publishers with a fair-queuing strategy.
func TestRFC29_SUB_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, subscribed(t, socket.NewSub(socket.WithRecvHWM(10)), ""), "PUB")
		checkTurns(t, transport, subscribed(t, socket.NewSub(), ""), "PUB")
	})
}

// RFC 29, SUB: SHALL not modify incoming messages in any way.
// RFC 29, SUB: SHALL deliver messages to its calling application.
// RFC 29, SUB: MAY filter messages according to subscriptions, with a prefix match.
func TestRFC29_SUB_DeliversAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		sub := subscribed(t, socket.NewSub(), "")
		raw := rawPeer(t, bound(t, transport, sub), "PUB")
		for _, frames := range oddMessages() {
			raw.SendMessage(frames...)
			requireRecv(t, sub, frames...)
		}
		require.NoError(t, sub.Subscribe("ab"))
		require.NoError(t, sub.Unsubscribe(""))
		for _, topic := range []string{"a", "", "b", "abc"} {
			raw.SendMessage(topic, "ab")
		}
		requireRecv(t, sub, "abc", "ab")
		requireNothing(t, sub)
	})
}

// RFC 29, SUB: MAY send subscribe and unsubscribe requests to publishers, in the form of the transport protocol.
func TestRFC29_SUB_AsksPublishers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkAsksPublishers(t, transport, socket.NewSub(swift()))
	})
}

// RFC 29, XSUB: MAY be connected to any number of PUB or XPUB peers, and MAY both send and receive messages.
// RFC 29, XSUB: SHALL maintain a double queue for each connected publisher, so that outgoing and incoming messages are queued independently.
func TestRFC29_XSUB_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub(socket.WithSendHWM(3), socket.WithRecvHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, xsub)
		raw := rawPeer(t, endpoint, "XPUB")
		awaitPeers(t, xsub, 1)
		kept := flood(t, upstream{xsub})
		raw.SendMessage("in while out is full")
		requireRecv(t, xsub, "in while out is full")
		for range kept {
			require.Len(t, raw.ReadMessage(), 2)
		}
		checkInboxPerPeer(t, transport, socket.NewXSub(socket.WithRecvHWM(3)), "PUB")
	})
}

// upstream makes a publisher of an XSUB, as far as flood needs one.
type upstream struct{ *socket.XSub }

func (upstream) WaitSubscribers(context.Context, string, int) error { return nil }

// RFC 29, XSUB: SHALL create the double queue of a publisher that it connects to at once, and SHALL maintain it whether or not the connection is established.
//
// Differs: a message upstream goes to the publishers that are connected when it is sent, as RFC 29 has it too; the others have no queue. What has
// arrived is kept, and subscriptions reach whoever connects later.
func TestRFC29_XSUB_NoQueueWithoutConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub(swift())
		closing(t, xsub)
		endpoint := unbound(t, transport)
		connect(t, xsub, endpoint)
		send(t, xsub, "nobody is connected")
		send(t, xsub, "\x01t")
		xpub := socket.NewXPub()
		closing(t, xpub)
		bind(t, xpub, endpoint)
		requireRecv(t, xpub, "\x01t")
		requireNothing(t, xpub)
		require.Empty(t, xsub.Stats().Dropped)
		checkInboxOutlivesConnection(t, transport, socket.NewXSub(swift()), "XPUB")
	})
}

// RFC 29, XSUB: SHALL create a double queue when a publisher connects to it; when that publisher disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC29_XSUB_DestroysQueueOfPublisher(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub(socket.WithSendHWM(5), socket.WithLinger(0))
		endpoint := bound(t, transport, xsub)
		raw := rawPeer(t, endpoint, "XPUB")
		awaitPeers(t, xsub, 1)
		flood(t, upstream{xsub})
		require.Positive(t, xsub.Stats().Peers[0].QueueMessages)
		gone := watch(t, xsub)
		raw.Close()
		gone(socket.Disconnected)
		require.NotZero(t, xsub.Stats().Dropped[socket.DropPeerGone])
		raw = rawPeer(t, endpoint, "XPUB")
		awaitPeers(t, xsub, 1)
		send(t, xsub, "new")
		require.Equal(t, []string{"new"}, raw.ReadMessage())
		raw.ExpectSilence(20 * time.Millisecond)
	})
}

// RFC 29, XSUB: SHALL create a double queue when a publisher connects to it; when that publisher disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A publisher that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC29_XSUB_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewXSub(), "PUB")
	})
}

// RFC 29, XSUB: SHALL not modify incoming messages in any way.
// RFC 29, XSUB: SHALL not modify outgoing messages in any way.
// RFC 29, XSUB: SHALL deliver messages to its calling application.
func TestRFC29_XSUB_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub()
		raw := rawPeer(t, bound(t, transport, xsub), "XPUB")
		awaitPeers(t, xsub, 1)
		for _, frames := range oddMessages() {
			raw.SendMessage(frames...)
			requireRecv(t, xsub, frames...)
			if len(frames) > 1 || len(frames[0]) == 0 || frames[0][0] > 1 { // others are subscriptions
				send(t, xsub, frames...)
				require.Equal(t, frames, raw.ReadMessage())
			}
		}
	})
}

// RFC 29, XSUB: SHALL silently discard messages if the incoming queue for a publisher is full.
//
// Differs: it stops reading instead, as libzmq does, so that it is the publisher that drops, or waits, by its policy, and counts.
func TestRFC29_XSUB_StopsReading(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullInbox(t, transport, socket.NewXSub(socket.WithRecvHWM(3)), "PUB")
	})
}

// RFC 29, XSUB: SHALL receive incoming messages from its publishers with a fair-queuing strategy.
func TestRFC29_XSUB_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewXSub(socket.WithRecvHWM(10)), "PUB")
		checkTurns(t, transport, socket.NewXSub(), "PUB")
	})
}

// RFC 29, XSUB: SHALL send all messages to all connected publishers.
// RFC 29, XSUB: SHALL silently drop the message if the outgoing queue for a publisher is full.
// RFC 29, XSUB: SHALL NOT block on sending.
// RFC 29, XSUB: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
func TestRFC29_XSUB_SendsToAll(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub(socket.WithSendHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, xsub)
		a, b := rawPeer(t, endpoint, "XPUB"), rawPeer(t, endpoint, "PUB")
		awaitPeers(t, xsub, 2)
		send(t, xsub, "to", "all")
		require.Equal(t, []string{"to", "all"}, a.ReadMessage())
		require.Equal(t, []string{"to", "all"}, b.ReadMessage())
		flood(t, upstream{xsub}) // which neither of the two reads
		for _, peer := range xsub.Stats().Peers {
			require.LessOrEqual(t, peer.QueueMessages, 3)
		}
	})
}

// RFC 29, XSUB: SHALL accept subscription commands from its calling application.
// RFC 29, XSUB: SHALL send subscribe and unsubscribe requests to publishers, in the form of the transport protocol.
func TestRFC29_XSUB_AsksPublishers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkAsksPublishers(t, transport, socket.NewXSub(swift()))
		xsub := socket.NewXSub()
		raw := rawPeer(t, bound(t, transport, xsub), "XPUB")
		awaitPeers(t, xsub, 1)
		send(t, xsub, "\x01t") // as messages
		require.Equal(t, "t", string(raw.ExpectCommand("SUBSCRIBE")))
		send(t, xsub, "\x00t")
		require.Equal(t, "t", string(raw.ExpectCommand("CANCEL")))
	})
}
