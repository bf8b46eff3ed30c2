package conformance

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// answered returns when every command that a raw peer has sent was dealt with, and requires that no command has come for it that it has not
// read.
func answered(raw *sockettest.RawPeer) {
	raw.SendCommand("PING", []byte("\x00\x00answer"))
	raw.Expect("04 0b 04 'PONG' 'answer'")
}

// settled returns when every subscription of a raw subscriber was dealt with, and requires that nothing has come for it that it has not read.
// Commands are dealt with as they are found, messages when all that was read with them is; the second answer comes after that.
func settled(t *testing.T, pub publisher, raw *sockettest.RawPeer) {
	t.Helper()
	topic := fmt.Sprint("settled-", names.Add(1))
	raw.SendMessage("\x01" + topic)
	answered(raw)
	answered(raw)
	send(t, pub, topic)
	require.Equal(t, []string{topic}, raw.ReadMessage())
}

// eachPublisher runs a test with PUB and XPUB and a raw subscriber.
func eachPublisher(t *testing.T, transport string, minor byte, test func(pub publisher, raw *sockettest.RawPeer)) {
	for _, pub := range []publisher{socket.NewPub(), socket.NewXPub()} {
		raw := dialRaw(t, bound(t, transport, pub))
		raw.Handshake("SUB", minor)
		test(pub, raw)
	}
}

// eachSubscriber runs a test with SUB and XSUB and a raw publisher.
func eachSubscriber(t *testing.T, transport string, minor byte, test func(sub subscriber, raw *sockettest.RawPeer)) {
	for _, sub := range []subscriber{socket.NewSub(), socket.NewXSub()} {
		raw := dialRaw(t, bound(t, transport, sub))
		raw.Handshake("PUB", minor)
		awaitPeers(t, sub, 1)
		test(sub, raw)
	}
}

// RFC 37, Publish-Subscribe: messages SHALL be filtered at the publisher.
// RFC 37, Publish-Subscribe: a subscription to A SHALL match all messages that start with A.
// RFC 37, Publish-Subscribe: an empty subscription SHALL match all messages.
// RFC 23, Publish-Subscribe: messages SHALL be filtered at the publisher.
// RFC 23, Publish-Subscribe: a subscription to A SHALL match all messages that start with A.
// RFC 23, Publish-Subscribe: an empty subscription SHALL match all messages.
func TestRFC37_PublishSubscribe_FilteredAtPublisher(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, minor := range []byte{0, 1} {
			eachPublisher(t, transport, minor, func(pub publisher, raw *sockettest.RawPeer) {
				all := []string{"A", "B", "AB", "", "\x00A", "BA", "a"}
				for subscription, want := range map[string][]string{"A": {"A", "AB"}, "": all, "\x00": {"\x00A"}, "AB": {"AB"}, "ABC": nil} {
					raw.Subscribe(subscription)
					settled(t, pub, raw)
					for _, topic := range all {
						send(t, pub, topic, "body")
					}
					for _, topic := range want {
						require.Equal(t, []string{topic, "body"}, raw.ReadMessage(), "subscribed to %q", subscription)
					}
					raw.Cancel(subscription)
					settled(t, pub, raw)
				}
			})
		}
	})
}

// RFC 37, Publish-Subscribe: subscriptions SHALL be additive.
// RFC 37, Publish-Subscribe: subscriptions SHALL NOT be idempotent: it takes as many CANCELs to undo them.
// RFC 23, Publish-Subscribe: subscriptions SHALL be additive.
// RFC 23, Publish-Subscribe: subscriptions SHALL NOT be idempotent: it takes as many unsubscribe messages to undo them.
func TestRFC37_PublishSubscribe_Additive(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, minor := range []byte{0, 1} {
			eachPublisher(t, transport, minor, func(pub publisher, raw *sockettest.RawPeer) {
				wanted := func(topics ...string) {
					t.Helper()
					settled(t, pub, raw)
					for _, topic := range []string{"A", "B"} {
						send(t, pub, topic)
					}
					for _, topic := range topics {
						require.Equal(t, []string{topic}, raw.ReadMessage())
					}
					settled(t, pub, raw)
				}
				raw.Subscribe("A")
				raw.Subscribe("A")
				wanted("A")
				raw.Subscribe("")
				wanted("A", "B")
				raw.Cancel("")
				wanted("A")
				raw.Cancel("A")
				wanted("A")
				raw.Cancel("A")
				wanted()
			})
		}
		// The application's side counts too.
		eachSubscriber(t, transport, 1, func(sub subscriber, raw *sockettest.RawPeer) {
			require.NoError(t, sub.Subscribe("A", "A"))
			require.NoError(t, sub.Unsubscribe("A"))
			raw.Expect("04 0b 09 'SUBSCRIBE' 'A'")
			answered(raw)
			require.NoError(t, sub.Unsubscribe("A"))
			raw.Expect("04 08 06 'CANCEL' 'A'")
		})
	})
}

// RFC 37, Publish-Subscribe: to subscribe, SHALL send a SUBSCRIBE command with the subscription.
// RFC 37, Publish-Subscribe: to cancel, SHALL send a CANCEL command with the subscription.
func TestRFC37_PublishSubscribe_Commands(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		eachSubscriber(t, transport, 1, func(sub subscriber, raw *sockettest.RawPeer) {
			require.NoError(t, sub.Subscribe("A", "", "\x00\xff"))
			raw.Expect("04 0b 09 'SUBSCRIBE' 'A' 04 0a 09 'SUBSCRIBE' 04 0c 09 'SUBSCRIBE' 00 ff")
			require.NoError(t, sub.Unsubscribe("A", "", "\x00\xff"))
			raw.Expect("04 08 06 'CANCEL' 'A' 04 07 06 'CANCEL' 04 09 06 'CANCEL' 00 ff")
			require.NoError(t, sub.Subscribe(strings.Repeat("l", 300)))
			raw.Expect("06 00 00 00 00 00 00 01 36 09 'SUBSCRIBE'")
		})
		// Both forms are accepted from any peer.
		for _, minor := range []byte{0, 1} {
			eachPublisher(t, transport, minor, func(pub publisher, raw *sockettest.RawPeer) {
				raw.SendCommand("SUBSCRIBE", []byte("A"))
				raw.SendMessage("\x01B")
				settled(t, pub, raw)
				send(t, pub, "A")
				send(t, pub, "B")
				raw.Expect("00 01 'A' 00 01 'B'")
				raw.SendMessage("\x00A")
				raw.SendCommand("CANCEL", []byte("B"))
				settled(t, pub, raw)
				send(t, pub, "A")
				send(t, pub, "B")
				settled(t, pub, raw)
			})
		}
	})
}

// RFC 23, Publish-Subscribe: to subscribe, SHALL send a message of %x01 and the subscription.
// RFC 23, Publish-Subscribe: to cancel, SHALL send a message of %x00 and the subscription.
func TestRFC23_PublishSubscribe_Messages(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		eachSubscriber(t, transport, 0, func(sub subscriber, raw *sockettest.RawPeer) {
			require.NoError(t, sub.Subscribe("A", "", "\x00\xff"))
			raw.Expect("00 02 01 'A' 00 01 01 00 03 01 00 ff")
			require.NoError(t, sub.Unsubscribe("A", "", "\x00\xff"))
			raw.Expect("00 02 00 'A' 00 01 00 00 03 00 00 ff")
			require.NoError(t, sub.Subscribe(strings.Repeat("l", 300)))
			raw.Expect("02 00 00 00 00 00 00 01 2d 01")
		})
	})
}

// RFC 37, Radio-Dish: who is in a group SHALL be checked by the RADIO.
// RFC 37, Radio-Dish: to join a group, SHALL send a JOIN command with the group.
// RFC 37, Radio-Dish: to leave a group, SHALL send a LEAVE command with the group.
func TestRFC37_RadioDish_Commands(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := socket.NewDish()
		theirs := rawPeer(t, bound(t, transport, dish), "RADIO")
		awaitPeers(t, dish, 1)
		require.NoError(t, dish.Join("g", "group"))
		theirs.Expect("04 06 04 'JOIN' 'g' 04 0a 04 'JOIN' 'group'")
		require.NoError(t, dish.Leave("group", "g"))
		theirs.Expect("04 0b 05 'LEAVE' 'group' 04 07 05 'LEAVE' 'g'")

		radio := socket.NewRadio()
		raw := rawPeer(t, bound(t, transport, radio), "DISH")
		raw.SendCommand("JOIN", []byte("g"))
		raw.SendCommand("JOIN", []byte("end"))
		answered(raw)
		sendAll := func() {
			for _, group := range []string{"g", "group", "", "G", "end"} {
				require.NoError(t, radio.Send(limit(t), group, []byte("body")))
			}
		}
		sendAll()
		raw.Expect("01 01 'g' 00 04 'body' 01 03 'end' 00 04 'body'")
		raw.SendCommand("LEAVE", []byte("g"))
		answered(raw)
		sendAll()
		raw.Expect("01 03 'end' 00 04 'body'")
	})
}

// RFC 37, Thread-Safe: a call to send MUST send the entire message and a call to receive MUST receive it.
// RFC 37, Thread-Safe: MUST disallow sending messages of several frames.
// RFC 37, Thread-Safe: MUST discard messages of several frames that arrive.
func TestRFC37_ThreadSafe_OneFrame(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, good := range map[string][]string{
			"CLIENT": {"one"}, "SERVER": {"one"}, "DISH": {"group", "one"}, "GATHER": {"one"}, "PEER": {"one"}, "CHANNEL": {"one"},
		} {
			s := zmtpTypes[name].make()
			if dish, ok := s.(*socket.Dish); ok {
				require.NoError(t, dish.Join("group"))
			}
			raw := dialRaw(t, bound(t, transport, s))
			raw.SendGreeting(1, "NULL")
			raw.ReadGreeting()
			readyOf(raw, zmtpTypes[name].peer)
			raw.SendMessage(append(good, "more")...)
			raw.SendMessage(append(good, "", "")...)
			raw.SendMessage(good...)
			m := recv(t, s.(recver))
			require.Equal(t, "one", m.String(), name)
			require.Equal(t, uint64(2), s.Stats().Dropped[socket.DropMalformed], name)
		}
		for _, name := range []string{"CLIENT", "SERVER", "RADIO", "SCATTER", "PEER", "CHANNEL"} {
			method, found := reflect.TypeOf(zmtpTypes[name].make()).MethodByName("Send")
			require.True(t, found, name)
			require.False(t, method.Type.IsVariadic(), "%s sends one body", name)
		}
	})
}
