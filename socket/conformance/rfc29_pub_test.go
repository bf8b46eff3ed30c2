package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 29, PUB: MAY be connected to any number of SUB or XSUB peers, and SHALL only send messages.
// RFC 29, PUB: SHALL silently discard any messages that subscribers send it.
func TestRFC29_PUB_OnlySends(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub := socket.NewPub()
		_, receives := any(pub).(recver)
		require.False(t, receives)
		endpoint := bound(t, transport, pub)
		xsub, sub := rawPeer(t, endpoint, "XSUB"), rawPeer(t, endpoint, "SUB")
		xsub.SendMessage("upstream")
		xsub.SendMessage("\x01two", "frames")
		subscribe(xsub, "")
		subscribe(sub, "")
		require.EqualValues(t, 2, pub.Stats().Dropped[socket.DropUnwanted], "discarded, and counted")
		send(t, pub, "goes on")
		require.Equal(t, []string{"goes on"}, xsub.ReadMessage())
		require.Equal(t, []string{"goes on"}, sub.ReadMessage())
	})
}

// RFC 29, PUB: SHALL maintain a single outgoing message queue for each connected subscriber.
// RFC 29, PUB: SHOULD constrain queue sizes to a limit that is set at run time.
// RFC 29, PUB: SHALL silently drop the message if the queue for a subscriber is full.
// RFC 29, PUB: SHALL NOT block on sending.
func TestRFC29_PUB_QueuePerSubscriber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkSlowSubscriber(t, transport, socket.NewPub(socket.WithSendHWM(10), socket.WithLinger(0)))
	})
}

// RFC 29, PUB: SHALL create the queue of a subscriber that it connects to at once, and SHALL maintain it whether or not the connection is established.
//
// Differs: messages are for those who are subscribed when they are sent. Subscriptions come with a connection and go with it, so without one there is
// nothing that could be queued; what the one that comes back wants is for it to say.
func TestRFC29_PUB_NoQueueWithoutSubscription(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueNeedsSubscription(t, transport, socket.NewPub(swift()))
	})
}

// RFC 29, PUB: SHALL create a queue when a subscriber connects to it; when that subscriber disconnects, SHALL destroy the queue and discard the messages in it.
func TestRFC29_PUB_DestroysQueueOfSubscriber(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysSubscriberQueue(t, transport, socket.NewPub(socket.WithSendHWM(5), socket.WithLinger(0)))
	})
}

// RFC 29, PUB: SHALL not modify outgoing messages in any way.
func TestRFC29_PUB_SendsAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPublishesAsIs(t, transport, socket.NewPub())
	})
}

// RFC 29, PUB: SHALL perform a binary comparison of the subscription against the start of the first frame of the message.
// RFC 29, PUB: MAY send messages only to subscribers who have a matching subscription.
func TestRFC29_PUB_ComparesPrefix(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkPrefixes(t, transport, socket.NewPub())
	})
}

// RFC 29, PUB: SHALL receive subscribe and unsubscribe requests from subscribers, in the form of the transport protocol.
// RFC 29, PUB: SHALL NOT deliver these commands to its calling application.
func TestRFC29_PUB_TakesSubscriptions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkTakesSubscriptions(t, transport, socket.NewPub()) // which has no Recv, see OnlySends
	})
}
