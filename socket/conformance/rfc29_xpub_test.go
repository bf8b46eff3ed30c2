package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 29, XPUB: MAY be connected to any number of SUB or XSUB peers, and MAY both send and receive messages.
// RFC 29, XPUB: SHALL maintain a double queue for each connected subscriber, so that outgoing and incoming messages are queued independently.
func TestRFC29_XPUB_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub(socket.WithSendHWM(3), socket.WithRecvHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, xpub)
		raw := rawPeer(t, endpoint, "XSUB")
		subscribe(raw, "")
		requireRecv(t, xpub, "\x01")
		kept := flood(t, xpub)
		raw.SendMessage("in while out is full")
		requireRecv(t, xpub, "in while out is full")
		for range kept {
			require.Len(t, raw.ReadMessage(), 2)
		}
		clog(t, xpub, raw, strings.Repeat("e", 64<<10))
		send(t, xpub, "out while in is full")
		require.Equal(t, []string{"out while in is full"}, raw.ReadMessage())
	})
}

// RFC 29, XPUB: SHALL maintain a double queue for each connected subscriber, one subscriber not affecting another.
// RFC 29, XPUB: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 29, XPUB: SHALL silently drop the message if the queue for a subscriber is full.
// RFC 29, XPUB: SHALL NOT block on sending.
func TestRFC29_XPUB_QueuePerSubscriber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkSlowSubscriber(t, transport, socket.NewXPub(socket.WithSendHWM(10), socket.WithLinger(0)))
		checkInboxPerPeer(t, transport, socket.NewXPub(socket.WithRecvHWM(3)), "XSUB")
	})
}

// RFC 29, XPUB: SHALL create the double queue of a subscriber that it connects to at once, and SHALL maintain it whether or not the connection is established.
//
// Differs: messages are for those who are subscribed when they are sent. Subscriptions come with a connection and go with it, so without one there is
// nothing that could be queued. What has arrived is kept, as the RFC says.
func TestRFC29_XPUB_NoQueueWithoutSubscription(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueNeedsSubscription(t, transport, socket.NewXPub(swift()))
		checkInboxOutlivesConnection(t, transport, socket.NewXPub(swift()), "XSUB")
	})
}

// RFC 29, XPUB: SHALL create a double queue when a subscriber connects to it; when that subscriber disconnects, SHALL destroy it and discard the (outgoing) messages in it.
func TestRFC29_XPUB_DestroysQueueOfSubscriber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysSubscriberQueue(t, transport, socket.NewXPub(socket.WithSendHWM(5), socket.WithLinger(0)))
	})
}

// RFC 29, XPUB: SHALL create a double queue when a subscriber connects to it; when that subscriber disconnects, SHALL destroy it and discard the (incoming) messages in it.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC29_XPUB_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewXPub(), "XSUB")
	})
}

// RFC 29, XPUB: SHALL not modify outgoing messages in any way.
func TestRFC29_XPUB_SendsAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPublishesAsIs(t, transport, socket.NewXPub())
	})
}

// RFC 29, XPUB: SHALL perform a binary comparison of the subscription against the start of the first frame of the message.
// RFC 29, XPUB: MAY send messages only to subscribers who have a matching subscription.
func TestRFC29_XPUB_ComparesPrefix(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPrefixes(t, transport, socket.NewXPub())
	})
}

// RFC 29, XPUB: SHALL receive incoming messages from its subscribers with a fair-queuing strategy.
func TestRFC29_XPUB_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewXPub(socket.WithRecvHWM(10)), "XSUB")
		checkTurns(t, transport, socket.NewXPub(), "XSUB")
	})
}

// RFC 29, XPUB: SHALL deliver these messages to its calling application.
func TestRFC29_XPUB_DeliversAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub()
		raw := rawPeer(t, bound(t, transport, xpub), "XSUB")
		for _, frames := range oddMessages() {
			if len(frames) == 1 && (strings.HasPrefix(frames[0], "\x00") || strings.HasPrefix(frames[0], "\x01")) {
				continue // a subscription or its cancellation
			}
			raw.SendMessage(frames...)
			requireRecv(t, xpub, frames...)
		}
	})
}

// RFC 29, XPUB: SHALL receive subscribe and unsubscribe requests from subscribers, in the form of the transport protocol.
// RFC 29, XPUB: SHALL deliver these commands to its calling application.
func TestRFC29_XPUB_DeliversSubscriptions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub()
		checkTakesSubscriptions(t, transport, xpub)
		for range 2 { // ZMTP 3.1 and 3.0
			for _, want := range []string{"\x01t", "\x00t"} {
				m := recv(t, xpub)
				assert.Equal(t, []string{want}, texts(m.Frames))
				assert.Equal(t, "SUB", m.Peer().SocketType())
			}
		}
		requireNothing(t, xpub)
	})
}

// RFC 29, XPUB: MAY normalize commands delivered to its calling application, so that several identical subscriptions result in a single command.
func TestRFC29_XPUB_NormalizesSubscriptions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub()
		endpoint := bound(t, transport, xpub)
		a, b := rawPeer(t, endpoint, "SUB"), rawPeer(t, endpoint, "SUB")
		subscribe(a, "t", "t")
		subscribe(b, "t")
		for _, raw := range []interface{ Cancel(string) }{a, b, a} {
			raw.Cancel("t")
		}
		synced(a)
		synced(b)
		requireRecv(t, xpub, "\x01t")
		requireRecv(t, xpub, "\x00t")
		requireNothing(t, xpub)
	})
}

// RFC 29, XPUB: SHALL, if a subscriber disconnects prematurely, generate a suitable unsubscribe request for the calling application.
func TestRFC29_XPUB_CancelsForThoseWhoLeave(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub()
		endpoint := bound(t, transport, xpub)
		stays, leaves := rawPeer(t, endpoint, "SUB"), rawPeer(t, endpoint, "SUB")
		subscribe(stays, "both")
		subscribe(leaves, "both", "own 1", "own 2", "own 2")
		for _, topic := range []string{"both", "own 1", "own 2"} {
			requireRecv(t, xpub, "\x01"+topic)
		}
		leaves.Close()
		got := []string{recv(t, xpub).String(), recv(t, xpub).String()}
		assert.ElementsMatch(t, []string{"\x00own 1", "\x00own 2"}, got)
		stays.Close()
		requireRecv(t, xpub, "\x00both")
		requireNothing(t, xpub)
		assert.Zero(t, xpub.TopicCount(), fmt.Sprint(xpub.Topics()))
	})
}
