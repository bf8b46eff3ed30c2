package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Behaviour 36: XPUB takes a subscription as a command and as a message, whatever version the peer speaks, and shows both alike.
func TestBehaviour36_BothFormsOfSubscription(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub()
		endpoint := bound(t, transport, xpub)
		for _, minor := range []byte{1, 0} {
			for _, asCommand := range []bool{true, false} {
				raw := dialRaw(t, endpoint)
				raw.Handshake("SUB", minor)
				ask := func(command, message string) {
					if asCommand {
						raw.SendCommand(command, []byte("A"))
					} else {
						raw.SendMessage(message + "A")
					}
				}
				ask("SUBSCRIBE", "\x01")
				requireRecv(t, xpub, "\x01A")
				send(t, xpub, "ALOL")
				require.Equal(t, []string{"ALOL"}, raw.ReadMessage())
				ask("CANCEL", "\x00")
				requireRecv(t, xpub, "\x00A")
				raw.Close()
			}
		}
	})
}

// Behaviour 37: SUB sends a ZMTP 3.1 publisher the command SUBSCRIBE, and a 3.0 publisher a message, with exactly these bytes.
func TestBehaviour37_BytesOfSubscription(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for minor, want := range map[byte]string{1: "\x04\x0b\x09SUBSCRIBEA", 0: "\x00\x02\x01A"} {
			sub := subscribed(t, socket.NewSub(), "A")
			closing(t, sub)
			l := listenRaw(t, fresh(transport))
			connect(t, sub, l.Endpoint)
			raw := l.Accept()
			raw.Handshake("PUB", minor)
			require.Equal(t, want, string(raw.Read(len(want))))
			raw.SendMessage("ALOL")
			requireRecv(t, sub, "ALOL")
		}
	})
}

// Behaviour 38: topics of 245 and 246 bytes, where the command becomes a long frame, are subscribed to and cancelled.
func TestBehaviour38_LongTopics(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub, sub := socket.NewXPub(), socket.NewSub()
		join(t, transport, xpub, sub)
		for _, n := range []int{244, 245, 246, 247, 248, 249, 1000} {
			topic := strings.Repeat("t", n)
			require.NoError(t, sub.Subscribe(topic))
			requireRecv(t, xpub, "\x01"+topic)
			send(t, xpub, topic, fmt.Sprint(n))
			requireRecv(t, sub, topic, fmt.Sprint(n))
			require.NoError(t, sub.Unsubscribe(topic))
			requireRecv(t, xpub, "\x00"+topic)
		}
	})
}

// asks has two raw subscribers ask for the same topic, one of them twice, and take it all back, and returns what XPUB showed of that.
func asks(t *testing.T, transport string, xpub *socket.XPub) (shown []string) {
	endpoint := bound(t, transport, xpub)
	a, b := rawPeer(t, endpoint, "SUB"), rawPeer(t, endpoint, "SUB")
	show := func(raw *sockettest.RawPeer) {
		synced(raw)
		for {
			m, err := xpub.Recv(try())
			if err != nil {
				return
			}
			shown = append(shown, m.String())
		}
	}
	for _, raw := range []*sockettest.RawPeer{a, a, b} {
		raw.Subscribe("A")
		show(raw)
	}
	send(t, xpub, "A", "once")
	for _, raw := range []*sockettest.RawPeer{a, b} {
		require.Equal(t, []string{"A", "once"}, raw.ReadMessage())
		synced(raw)
		raw.Cancel("never asked for")
		show(raw)
	}
	for _, raw := range []*sockettest.RawPeer{a, b, a} {
		raw.Cancel("A")
		show(raw)
	}
	return shown
}

// Behaviour 39: XPUB shows the first subscription to a topic, with VERBOSE every one; whoever subscribed twice gets a message once.
func TestBehaviour39_Verbose(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		assert.Equal(t, []string{"\x01A", "\x00A"}, asks(t, transport, socket.NewXPub()))
		assert.Equal(t, []string{"\x01A", "\x01A", "\x01A", "\x00A"}, asks(t, transport, socket.NewXPub(socket.WithVerbose())))
	})
}

// Behaviour 40: with VERBOSER, XPUB shows every cancellation too, but none of what was never asked for; an XSUB behind it passes on the last one only.
func TestBehaviour40_Verboser(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		all := []string{"\x01A", "\x01A", "\x01A", "\x00A", "\x00A", "\x00A"}
		assert.Equal(t, all, asks(t, transport, socket.NewXPub(socket.WithVerboser())))

		xpub := socket.NewXPub(socket.WithVerboser())
		endpoint := bound(t, transport, xpub)
		a, b := rawPeer(t, endpoint, "SUB"), rawPeer(t, endpoint, "SUB")
		subscribe(a, "A", "A")
		subscribe(b, "A")
		a.Close()
		b.Close()
		for _, want := range all { // those that leave take everything back
			requireRecv(t, xpub, want)
		}
		requireNothing(t, xpub)

		xsub := socket.NewXSub()
		publisher := rawPeer(t, bound(t, transport, xsub), "XPUB")
		awaitPeers(t, xsub, 1)
		for _, message := range all {
			send(t, xsub, message)
		}
		send(t, xsub, "end")
		require.Equal(t, "A", string(publisher.ExpectCommand("SUBSCRIBE")))
		require.Equal(t, "A", string(publisher.ExpectCommand("CANCEL")))
		require.Equal(t, []string{"end"}, publisher.ReadMessage())
	})
}

// Behaviour 41: with VERBOSE_UNSUBSCRIBE, XSUB passes on every cancellation.
//
// Differs: it passes on every subscription as well, where it otherwise tells the first only, so that a publisher that counts them stays right; and all of them
// again after a reconnect. Who was never asked for something is not told of a cancellation: Send returns ErrState.
func TestBehaviour41_XSubVerboseUnsubscribe(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xsub := socket.NewXSub(socket.WithVerboseUnsubscribe())
		endpoint := bound(t, transport, xsub)
		publisher := rawPeer(t, endpoint, "XPUB")
		awaitPeers(t, xsub, 1)
		for range 3 {
			send(t, xsub, "\x01A")
			require.Equal(t, "A", string(publisher.ExpectCommand("SUBSCRIBE")))
		}
		later := rawPeer(t, endpoint, "XPUB")
		for range 3 {
			require.Equal(t, "A", string(later.ExpectCommand("SUBSCRIBE")))
		}
		for range 3 {
			send(t, xsub, "\x00A")
			require.Equal(t, "A", string(publisher.ExpectCommand("CANCEL")))
			require.Equal(t, "A", string(later.ExpectCommand("CANCEL")))
		}
		require.ErrorIs(t, trySend(xsub, "\x00A"), socket.ErrState)

		// A chain of publisher, XSUB and XPUB shows the publisher's application every subscriber.
		xpub, end := socket.NewXPub(socket.WithVerboser()), socket.NewXSub(socket.WithVerboseUnsubscribe())
		join(t, transport, xpub, end)
		for _, message := range []string{"\x01A", "\x01A", "\x00A", "\x00A"} {
			send(t, end, message)
			requireRecv(t, xpub, message)
		}
	})
}

// Behaviour 51: the number of topics goes up and down with subscriptions, those within others included, on both sides.
func TestBehaviour51_TopicsCount(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, s := range []publisher{socket.NewPub(), socket.NewXPub()} {
			sub, other := socket.NewSub(), socket.NewXSub()
			join(t, transport, s, sub, other)
			require.Zero(t, s.TopicCount())
			for i, topic := range []string{"topicA", "topicB", "topic", "t", ""} {
				require.NoError(t, sub.Subscribe(topic))
				require.NoError(t, other.Subscribe(topic))
				require.Equal(t, i+1, sub.TopicCount())
				require.NoError(t, sub.WaitSubscribed(limit(t), 1))
				require.NoError(t, other.WaitSubscribed(limit(t), 1))
				require.Equal(t, i+1, s.TopicCount(), "of two subscribers, each counts once")
			}
			require.Equal(t, []string{"", "t", "topic", "topicA", "topicB"}, sub.Topics())
			require.Equal(t, sub.Topics(), other.Topics())
			for left, topic := range []string{"t", "topicB", "", "topic", "topicA"} {
				require.NoError(t, sub.Unsubscribe(topic))
				require.NoError(t, other.Unsubscribe(topic))
				require.Equal(t, 4-left, sub.TopicCount())
				awaitTopics(t, s, 4-left)
			}
		}
	})
}

// Behaviour 54: a message that a user sends through XSUB arrives at XPUB as it is, unless it is one frame that begins with 0 or 1; with ONLY_FIRST_SUBSCRIBE
// the first frame of several is a subscription too if it begins so, and the others never are.
//
// Differs: without the option, libzmq takes each frame of a message of several for a subscription if it begins with 0 or 1. Here only a message of one frame
// is one, so that data of several frames is safe.
func TestBehaviour54_UserMessages(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub, xsub := socket.NewXPub(), socket.NewXSub()
		join(t, transport, xpub, xsub)
		for _, frames := range [][]string{{"A"}, {"\x02A"}, {""}, {"A", "\x01B", "\x00C"}, {"\x01A", "B"}, {"\x00A", "\x01"}, {"", "\x01A"}} {
			send(t, xsub, frames...)
			requireRecv(t, xpub, frames...)
		}
		require.Zero(t, xpub.TopicCount())
		send(t, xsub, "\x01A")
		requireRecv(t, xpub, "\x01A")
		require.Equal(t, []string{"A"}, xpub.Topics())

		xpub, xsub = socket.NewXPub(), socket.NewXSub(socket.WithOnlyFirstSubscribe())
		join(t, transport, xpub, xsub)
		send(t, xsub, "A", "\x01B", "\x00C")
		requireRecv(t, xpub, "A", "\x01B", "\x00C")
		send(t, xsub, "\x01A", "\x01B", "C")
		requireBoth(t, xpub, []string{"\x01A"}, []string{"\x01B", "C"})
		require.Equal(t, []string{"A"}, xpub.Topics())

		xpub, xsub = socket.NewXPub(socket.WithOnlyFirstSubscribe()), socket.NewXSub()
		join(t, transport, xpub, xsub)
		send(t, xsub, "A", "\x01B", "\x00C")
		requireRecv(t, xpub, "A", "\x01B", "\x00C")
		send(t, xsub, "\x01A", "\x01B", "C")
		requireBoth(t, xpub, []string{"\x01A"}, []string{"\x01B", "C"})
		send(t, xsub, "\x01D", "\x00A")
		requireBoth(t, xpub, []string{"\x01D"}, []string{"\x00A"})
		require.Equal(t, []string{"A", "D"}, xpub.Topics())
	})
}

// requireBoth receives two messages that may come in any order.
func requireBoth(t *testing.T, s recver, one, other []string) {
	t.Helper()
	got := [][]string{texts(recv(t, s).Frames), texts(recv(t, s).Frames)}
	require.ElementsMatch(t, [][]string{one, other}, got)
}
