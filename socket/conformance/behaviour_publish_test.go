package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Behaviour 47: with NODROP, a try to publish to a subscriber at the high-water mark fails and nothing is lost: it goes on once the subscriber has read, and 6000
// messages get through a high-water mark of 2000.
func TestBehaviour47_NoDrop(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 6000
		xpub := socket.NewXPub(socket.WithNoDrop(), socket.WithSendHWM(2000))
		sub := subscribed(t, socket.NewSub(socket.WithRecvHWM(10)), "")
		idle := subscribed(t, socket.NewSub(), "other")
		join(t, transport, xpub, sub, idle)
		awaitSubscribers(t, xpub, "", 1)
		awaitSubscribers(t, xpub, "other", 2)
		body := strings.Repeat("b", 8<<10)
		sent, received, refused := 0, 0, 0
		for received < messages {
			for ; sent < messages; sent++ {
				if err := trySend(xpub, fmt.Sprint(sent), body); err != nil {
					require.ErrorIs(t, err, socket.ErrFull)
					refused++
					break
				}
			}
			for range min(500, sent-received) {
				requireRecv(t, sub, fmt.Sprint(received), body)
				received++
			}
		}
		require.Positive(t, refused)
		require.Empty(t, xpub.Stats().Dropped)
		requireNothing(t, sub)
	})
}

// Behaviour 47: with NODROP, a message that one subscriber has no room for is sent to nobody.
func TestBehaviour47_NoDropAllOrNone(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub := socket.NewPub(socket.WithNoDrop(), socket.WithSendHWM(3), socket.WithLinger(0))
		endpoint := bound(t, transport, pub)
		stalled, reads := rawPeer(t, endpoint, "SUB"), subscribed(t, socket.NewSub(), "")
		closing(t, reads)
		connect(t, reads, endpoint)
		subscribe(stalled, "")
		awaitSubscribers(t, pub, "", 2)
		for range fill(t, pub) {
			recv(t, reads)
		}
		requireNothing(t, reads)
		stalled.Close()
		send(t, pub, "goes on")
		requireRecv(t, reads, "goes on")
	})
}

// Behaviour 48: as many messages as the high-water mark allows are all received, and it concerns only those that were not delivered: 9999 and then 1100 with a
// mark of 11024.
func TestBehaviour48_HWMOfPublisher(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tc := range []struct{ hwm, first, second int }{{1000, 1000, 0}, {11024, 9999, 1100}} {
			pub := socket.NewPub(socket.WithSendHWM(tc.hwm))
			sub := subscribed(t, socket.NewSub(socket.WithRecvHWM(tc.hwm)), "")
			join(t, transport, pub, sub)
			awaitSubscribers(t, pub, "", 1)
			for _, n := range []int{tc.first, tc.second} {
				for i := range n {
					require.NoError(t, trySend(pub, fmt.Sprint(i)))
				}
				for i := range n {
					requireRecv(t, sub, fmt.Sprint(i))
				}
			}
			require.Empty(t, pub.Stats().Dropped)
		}
	})
}

// Behaviour 49: a subscriber to the topic of the welcome message gets that once when it connects, and again when it comes back.
//
// Differs: libzmq sends it to every peer that connects, before that subscribes to anything, and SUB drops it if it did not. Here it is sent when the peer's
// subscription is in force, and to nobody else, so that it also means: from now on you miss nothing of this topic.
func TestBehaviour49_WelcomeMessage(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, s := range []publisher{socket.NewXPub(socket.WithWelcomeMessage([]byte("W"))), socket.NewPub(socket.WithWelcomeMessage([]byte("W")))} {
			endpoint := bound(t, transport, s)
			for range 2 {
				sub := subscribed(t, socket.NewSub(), "W")
				connect(t, sub, endpoint)
				requireRecv(t, sub, "W")
				require.NoError(t, trySend(s, "W, then the first message"))
				requireRecv(t, sub, "W, then the first message")
				require.NoError(t, sub.Unsubscribe("W"))
				require.NoError(t, sub.Subscribe("W"))
				requireNothing(t, sub)
				require.NoError(t, sub.Close())
			}
			other := rawPeer(t, endpoint, "XSUB")
			subscribe(other, "w", "WW")
		}
	})
}

// Behaviour 49: with MANUAL, the welcome message follows a grant that matches it, and it may have several frames.
func TestBehaviour49_WelcomeGranted(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub(socket.WithManual(), socket.WithWelcomeMessage([]byte("hello"), []byte("there")))
		raw := rawPeer(t, bound(t, transport, xpub), "SUB")
		subscribe(raw, "hel")
		require.NoError(t, xpub.Grant(shown(t, xpub, "\x01hel"), "x", "hel"))
		require.Equal(t, []string{"hello", "there"}, raw.ReadMessage())
	})
}

// Behaviour 50: with INVERT_MATCHING on both sides, each message goes to those whose subscriptions do not match.
func TestBehaviour50_InvertMatching(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		invert := socket.WithInvertMatching()
		for _, s := range []publisher{socket.NewPub(invert), socket.NewXPub(invert)} {
			none, a, ab := socket.NewSub(invert), subscribed(t, socket.NewSub(invert), "A"), subscribed(t, socket.NewSub(invert), "AB", "C")
			join(t, transport, s, none, a, ab)
			awaitSubscribers(t, s, "ABC", 2)
			awaitTopics(t, s, 3)
			for _, topic := range []string{"A", "AB", "B", "C", "ABC", "end"} {
				send(t, s, topic)
			}
			for _, tc := range []struct {
				sub  *socket.Sub
				want []string
			}{{none, []string{"A", "AB", "B", "C", "ABC", "end"}}, {a, []string{"B", "C", "end"}}, {ab, []string{"A", "B", "end"}}} {
				for _, topic := range tc.want {
					requireRecv(t, tc.sub, topic)
				}
				requireNothing(t, tc.sub)
			}
		}
	})
}

// Behaviour 53: an empty message under the empty subscription is published and received.
func TestBehaviour53_Empty(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, sub := socket.NewPub(), subscribed(t, socket.NewSub(), "")
		join(t, transport, pub, sub)
		awaitSubscribers(t, pub, "", 1)
		send(t, pub, "")
		requireRecv(t, sub, "")
		require.NoError(t, sub.Unsubscribe(""))
		awaitTopics(t, pub, 0)
		send(t, pub, "")
		requireNothing(t, sub)
	})
}

// Behaviour 57: with CONFLATE on the receiving side, of 20 messages only the last one is received; the others are counted.
func TestBehaviour57_ConflateReceived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		conflate := socket.WithConflate()
		for _, tc := range []struct {
			receiver puller
			sender   pusher
		}{
			{socket.NewPull(conflate), socket.NewPush()},
			{subscribed(t, socket.NewSub(conflate), ""), socket.NewPub()},
			{socket.NewDealer(conflate), socket.NewDealer()},
		} {
			join(t, transport, tc.receiver, tc.sender)
			if pub, ok := tc.sender.(*socket.Pub); ok {
				awaitSubscribers(t, pub, "", 1)
			}
			for round := range 2 {
				for i := range 20 {
					send(t, tc.sender, fmt.Sprint(i))
				}
				eventually(t, func() bool { return tc.receiver.Stats().Dropped[socket.DropConflated] == uint64(19*(round+1)) }, "all have arrived")
				requireRecv(t, tc.receiver, "19")
				requireNothing(t, tc.receiver)
			}
		}
	})
}

// Behaviour 57: with CONFLATE on the sending side, of 20 messages for a peer that is not there yet only the last one is sent.
func TestBehaviour57_ConflateSent(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tc := range []struct {
			sender   pusher
			receiver puller
		}{
			{socket.NewPush(socket.WithConflate(), swift()), socket.NewPull()},
			{socket.NewDealer(socket.WithConflate(), swift()), socket.NewDealer()},
		} {
			closing(t, tc.sender, tc.receiver)
			endpoint := unbound(t, transport)
			connect(t, tc.sender, endpoint)
			for i := range 20 {
				require.NoError(t, trySend(tc.sender, fmt.Sprint(i)))
			}
			require.EqualValues(t, 19, tc.sender.Stats().Dropped[socket.DropConflated])
			bind(t, tc.receiver, endpoint)
			requireRecv(t, tc.receiver, "19")
			requireNothing(t, tc.receiver)
			require.ErrorIs(t, trySend(tc.sender, "two", "frames"), socket.ErrState)
		}
	})
}
