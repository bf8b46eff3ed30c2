package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// shown receives one subscription or cancellation and returns whose it is.
func shown(t *testing.T, xpub *socket.XPub, want string) *socket.Peer {
	t.Helper()
	m := recv(t, xpub)
	require.Equal(t, want, m.String())
	require.NotNil(t, m.Peer())
	return m.Peer()
}

// Behaviour 42: with MANUAL, a subscriber asks for A and the application grants it B: it gets what is published under B only.
func TestBehaviour42_ManualGrants(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub, xsub := socket.NewXPub(socket.WithManual()), socket.NewXSub()
		join(t, transport, xpub, xsub)
		require.NoError(t, xsub.Subscribe("A"))
		peer := shown(t, xpub, "\x01A")
		send(t, xpub, "A", "asked for, not granted")
		require.NoError(t, xpub.Grant(peer, "B"))
		send(t, xpub, "A")
		send(t, xpub, "B")
		requireRecv(t, xsub, "B")
		requireNothing(t, xsub)
		require.Equal(t, []string{"B"}, xpub.Topics())
	})
}

// Behaviour 43: with MANUAL, cancellations are shown and have no effect until the application takes back what it granted; what a
// peer was granted ends with its connection, each of its subscriptions is shown as cancelled, and it may come back with other ones.
func TestBehaviour43_ManualRevokes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub(socket.WithManual())
		endpoint := bound(t, transport, xpub)
		raw := rawPeer(t, endpoint, "SUB")
		raw.Subscribe("A")
		peer := shown(t, xpub, "\x01A")
		require.NoError(t, xpub.Grant(peer, "XA", "XA"))
		raw.Cancel("A")
		require.Same(t, peer, shown(t, xpub, "\x00A"))
		raw.Cancel("A") // not its any more, so it is not shown
		send(t, xpub, "XA")
		require.Equal(t, []string{"XA"}, raw.ReadMessage())
		require.NoError(t, xpub.Revoke(peer, "XA"))
		send(t, xpub, "XA") // granted twice, taken back once
		require.Equal(t, []string{"XA"}, raw.ReadMessage())
		require.NoError(t, xpub.Revoke(peer, "XA"))
		require.ErrorIs(t, xpub.Revoke(peer, "XA"), socket.ErrState)
		send(t, xpub, "XA")
		synced(raw)

		raw.Subscribe("B")
		shown(t, xpub, "\x01B")
		require.NoError(t, xpub.Grant(peer, "XB"))
		raw.Close()
		require.Same(t, peer, shown(t, xpub, "\x00B"))
		require.Zero(t, xpub.TopicCount())
		require.ErrorIs(t, xpub.Grant(peer, "XB"), socket.ErrPeerGone)
		require.ErrorIs(t, xpub.SendTo(limit(t), peer, []byte("XB")), socket.ErrPeerGone)

		raw = rawPeer(t, endpoint, "SUB")
		raw.Subscribe("C")
		peer = shown(t, xpub, "\x01C")
		require.NoError(t, xpub.Grant(peer, "XC"))
		send(t, xpub, "XB")
		send(t, xpub, "XC")
		require.Equal(t, []string{"XC"}, raw.ReadMessage())
		requireNothing(t, xpub)
	})
}

// Behaviour 44: two subscribers behind a proxy with MANUAL leave: the publisher hears of every cancellation, and then sends nothing.
func TestBehaviour44_ManualProxy(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, xsub := socket.NewPub(), socket.NewXSub()
		join(t, transport, pub, xsub)
		xpub := socket.NewXPub(socket.WithManual())
		endpoint := bound(t, transport, xpub)
		pass := func() { // one subscription or cancellation, upstream
			m := recv(t, xpub)
			if m.Frames[0][0] == 1 {
				require.NoError(t, xpub.Grant(m.Peer(), m.String()[1:]))
			}
			send(t, xsub, m.String())
		}
		var subs []*sockettest.RawPeer
		for _, own := range []string{"1", "2"} {
			sub := rawPeer(t, endpoint, "SUB")
			sub.Subscribe("A")
			sub.Subscribe(own)
			pass()
			pass()
			subs = append(subs, sub)
		}
		awaitTopics(t, pub, 3)
		send(t, pub, "A")
		send(t, xpub, texts(recv(t, xsub).Frames)...)
		for _, sub := range subs {
			require.Equal(t, []string{"A"}, sub.ReadMessage())
		}
		for range 2 {
			subs[0].Close()
			pass()
			pass()
			subs = subs[1:]
			if len(subs) > 0 {
				awaitTopics(t, pub, 2)
				assert.Equal(t, []string{"2", "A"}, pub.Topics())
			}
		}
		awaitTopics(t, pub, 0)
		send(t, pub, "A")
		requireNothing(t, xsub)
	})
}

// Behaviour 45: with MANUAL, two subscribers that ask at the same time both get what they were granted.
func TestBehaviour45_ManualTwoAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub(socket.WithManual())
		endpoint := bound(t, transport, xpub)
		a, b := rawPeer(t, endpoint, "SUB"), rawPeer(t, endpoint, "SUB")
		subscribe(a, "A")
		subscribe(b, "B")
		for range 2 { // both have asked before the application looks
			m := recv(t, xpub)
			require.NoError(t, xpub.Grant(m.Peer(), m.String()[1:]))
		}
		send(t, xpub, "A", "1")
		send(t, xpub, "B", "2")
		require.Equal(t, []string{"A", "1"}, a.ReadMessage())
		require.Equal(t, []string{"B", "2"}, b.ReadMessage())
		synced(a)
		synced(b)
	})
}

// Behaviour 46: with MANUAL_LAST_VALUE, the message that follows a granted subscription goes to that subscriber alone.
//
// Differs: the application says so by SendTo, which names the subscriber, so that other goroutines may publish meanwhile. It needs no option, and works
// with the Subscribed events of PUB as well.
func TestBehaviour46_LastValue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		xpub := socket.NewXPub(socket.WithManual())
		endpoint := bound(t, transport, xpub)
		var subs []*sockettest.RawPeer
		for range 3 {
			sub := rawPeer(t, endpoint, "SUB")
			sub.Subscribe("A")
			peer := shown(t, xpub, "\x01A")
			require.NoError(t, xpub.Grant(peer, "A"))
			require.NoError(t, xpub.SendTo(limit(t), peer, []byte("A"), []byte("last")))
			require.Equal(t, []string{"A", "last"}, sub.ReadMessage())
			subs = append(subs, sub)
			for _, sub := range subs {
				synced(sub)
			}
		}
		send(t, xpub, "A", "next")
		for _, sub := range subs {
			require.Equal(t, []string{"A", "next"}, sub.ReadMessage())
			synced(sub)
		}

		pub, sub := socket.NewPub(), socket.NewSub()
		await := watch(t, pub)
		join(t, transport, pub, sub)
		require.NoError(t, sub.Subscribe("A"))
		event := await(socket.Subscribed)
		require.Equal(t, "A", event.Topic)
		require.NoError(t, pub.SendTo(limit(t), event.Peer, []byte("A"), []byte("last")))
		requireRecv(t, sub, "A", "last")
	})
}
