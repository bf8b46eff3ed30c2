package socket_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// After WaitSubscribed nothing is missed: what is published next under the new topic arrives.
func TestWaitSubscribed_SlowJoiner(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		sub := socket.NewSub()
		closing(t, sub)
		var pubs []*socket.XPub
		for i := range 3 {
			pub := socket.NewXPub()
			closing(t, pub)
			endpoint := fresh(t, transport)
			if transport == "inproc" {
				endpoint += fmt.Sprint(i)
			}
			require.NoError(t, sub.Connect(bind(t, pub, endpoint)))
			pubs = append(pubs, pub)
		}
		for round := range 100 {
			topic := fmt.Sprintf("%d;", round)
			require.NoError(t, sub.Subscribe(topic))
			require.NoError(t, sub.WaitSubscribed(limit(t), len(pubs)))
			for i, pub := range pubs {
				require.Equal(t, round+1, pub.TopicCount())
				require.NoError(t, pub.Send(try(), text(topic), text(fmt.Sprint(i))))
				requireMsg(t, recv(t, sub), topic, fmt.Sprint(i))
			}
		}
		require.NoError(t, pubs[0].Close())
		require.Eventually(t, func() bool { return sub.WaitSubscribed(try(), len(pubs)) != nil }, sockettest.Timeout, time.Millisecond)
		require.NoError(t, sub.WaitSubscribed(limit(t), len(pubs)-1))
	})
}

// Over WebSocket subscriptions are messages, and PING is WebSocket's own: the answer still comes after them.
func TestWaitSubscribed_WebSocket(t *testing.T) {
	t.Parallel()
	pub, sub := socket.NewPub(), socket.NewSub()
	closing(t, pub, sub)
	require.NoError(t, sub.Connect(bind(t, pub, "ws://127.0.0.1:0/")))
	for round := range 200 {
		require.NoError(t, sub.Subscribe(fmt.Sprint(round), fmt.Sprint(round, " too")))
		require.NoError(t, sub.WaitSubscribed(limit(t), 1))
		require.Equal(t, 2*round+2, pub.TopicCount())
	}
}

// askedBy reads the subscription to topic and the PING behind it, and returns the PING's context.
func askedBy(t *testing.T, raw *sockettest.RawPeer, topics ...string) (context []byte) {
	t.Helper()
	for _, topic := range topics {
		require.Equal(t, topic, string(raw.ExpectCommand("SUBSCRIBE")))
	}
	data := raw.ExpectCommand("PING")
	require.Equal(t, "\x00\x00topics", string(data[:8]), "no TTL, and what it is about")
	return data[2:]
}

// A publisher counts once it has answered the PING that followed the subscriptions, and just that one.
func TestWaitSubscribed_OnTheWire(t *testing.T) {
	t.Parallel()
	sub := socket.NewSub(swift())
	closing(t, sub)
	require.NoError(t, sub.Subscribe("a"))
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, sub.Connect(endpoint))
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("XPUB", 1)
	require.Equal(t, "a", string(raw.ExpectCommand("SUBSCRIBE")))
	raw.ExpectSilence(20 * time.Millisecond) // nobody wants to know
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() { assert.NoError(t, sub.WaitSubscribed(limit(t), 1)) })
	}
	first := askedBy(t, raw)
	require.NoError(t, sub.Subscribe("b"))
	second := askedBy(t, raw, "b") // for those that wait, whichever came first
	later := append([]byte(nil), second...)
	later[len(later)-1]++
	for _, lie := range [][]byte{nil, later, []byte("topics"), []byte("topicz\x00\x00\x00\x00\x00\x00\x00\x01"), first[:8]} {
		raw.SendCommand("PONG", lie)
	}
	synced(raw)
	require.Error(t, sub.WaitSubscribed(try(), 1))
	raw.SendCommand("PONG", first)
	synced(raw)
	require.Error(t, sub.WaitSubscribed(try(), 1), "topic b is not confirmed")
	raw.SendCommand("PONG", second)
	require.NoError(t, sub.WaitSubscribed(limit(t), 1))
	waiting.Wait()
	raw.SendCommand("PONG", first) // it is known already
	synced(raw)
	require.NoError(t, sub.WaitSubscribed(try(), 1))

	raw.Close() // another connection is another publisher
	raw = sockettest.AcceptRaw(t, ln)
	raw.Handshake("XPUB", 1)
	for range 2 {
		raw.ExpectCommand("SUBSCRIBE")
	}
	waiting.Go(func() { assert.NoError(t, sub.WaitSubscribed(limit(t), 1)) })
	raw.SendCommand("PONG", askedBy(t, raw))
	waiting.Wait()
}

// A publisher of ZMTP 3.0 knows no PING: it is sent none, does not count, and the error says so.
func TestWaitSubscribed_ZMTP30(t *testing.T) {
	t.Parallel()
	sub := socket.NewSub()
	closing(t, sub)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, sub.Connect(endpoint))
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("PUB", 0)
	require.NoError(t, sub.WaitPeers(limit(t), 1))
	require.NoError(t, sub.Subscribe("a"))
	err := sub.WaitSubscribed(soon(t), 1)
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.ErrorIs(t, err, socket.ErrTimeout)
	require.ErrorContains(t, err, "wait to be subscribed: no peer: 0 of 1 publishers confirmed, 1 speak less than ZMTP 3.1 and cannot")
	raw.Expect("00 02 01 61")
	raw.ExpectSilence(20 * time.Millisecond)
	require.NoError(t, sub.WaitSubscribed(try(), 0))
	require.NoError(t, sub.Close())
	require.ErrorIs(t, sub.WaitSubscribed(limit(t), 1), socket.ErrClosed)
	require.ErrorIs(t, new(socket.Sub).WaitSubscribed(limit(t), 1), socket.ErrState)
}

type observed interface {
	connector
	Type() string
	Events(context.Context) iter.Seq[socket.Event]
}

// Whoever listens to events hears of subscriptions on both sides: of each at the publisher, and of all being in force at the subscriber.
func TestEvents_Subscriptions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, pub := range []observed{socket.NewPub(), socket.NewXPub()} {
			sub := socket.NewXSub(swift())
			atPub, atSub := watch(t, pub), watch(t, sub)
			require.NoError(t, sub.Subscribe("a", "a"))
			closing(t, pub, sub)
			endpoint := fresh(t, transport)
			if transport == "inproc" {
				endpoint += pub.Type()
			}
			endpoint = bind(t, pub, endpoint)
			require.NoError(t, sub.Connect(endpoint))
			event := atPub(socket.Subscribed)
			assert.Equal(t, "a", event.Topic)
			assert.Equal(t, "XSUB", event.Peer.SocketType())
			assert.Equal(t, endpoint, event.Endpoint)
			assert.Contains(t, event.String(), `subscribed `+endpoint)
			assert.Contains(t, event.String(), `"a"`)
			event = atSub(socket.Confirmed)
			assert.Equal(t, pub.Type(), event.Peer.SocketType())
			assert.Contains(t, event.String(), "subscriptions confirmed "+endpoint)

			require.NoError(t, sub.Subscribe("b"))
			assert.Equal(t, "b", atPub(socket.Subscribed).Topic)
			atSub(socket.Confirmed)
			require.NoError(t, sub.Unsubscribe("a", "a"))
			event = atPub(socket.Unsubscribed)
			assert.Equal(t, "a", event.Topic)
			atSub(socket.Confirmed)
			require.NoError(t, sub.Close())
			event = atPub(socket.Unsubscribed)
			assert.Equal(t, "b", event.Topic, "the peer left")
			atPub(socket.Disconnected)
		}
	})
}

// WaitJoined is to DISH what WaitSubscribed is to SUB.
func TestDish_WaitJoined(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio, dish := socket.NewRadio(), socket.NewDish()
		join(t, transport, radio, dish)
		for round := range 20 {
			group := fmt.Sprint("group ", round)
			require.NoError(t, dish.Join(group))
			require.NoError(t, dish.WaitJoined(limit(t), 1))
			require.NoError(t, radio.Send(try(), group, text("hello")))
			m := recv(t, dish)
			require.Equal(t, group, m.Group())
			require.Equal(t, []string{"group 0"}, radio.Topics()[:1])
			require.Equal(t, round+1, radio.TopicCount())
		}
	})
}
