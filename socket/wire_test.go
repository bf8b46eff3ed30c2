package socket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Trap 5: subscriptions go out as commands to ZMTP 3.1 peers and as messages to older ones, octet for octet.
func TestTrap05_SubscriptionsInThePeersForm(t *testing.T) {
	t.Parallel()
	for minor, wire := range map[byte]string{1: "04 0b 09 'SUBSCRIBE' 'A' 04 08 06 'CANCEL' 'A'", 0: "00 02 01 'A' 00 02 00 'A'"} {
		sub := socket.NewSub()
		defer sub.Close()
		ln, endpoint := sockettest.Listen(t)
		require.NoError(t, sub.Connect(endpoint))
		p := sockettest.AcceptRaw(t, ln)
		p.Handshake("PUB", minor)
		require.NoError(t, sub.WaitPeers(limit(t), 1))
		require.NoError(t, sub.Subscribe("A"))
		require.NoError(t, sub.Unsubscribe("A"))
		p.Expect(wire)
	}
}

// Trap 5: both forms are accepted from peers of either version; the application of an XPUB sees the same.
func TestTrap05_SubscriptionsInEitherForm(t *testing.T) {
	t.Parallel()
	for _, minor := range []byte{0, 1} {
		for form, wire := range map[string][2]string{
			"command": {"04 0b 09 'SUBSCRIBE' 'A'", "04 08 06 'CANCEL' 'A'"},
			"message": {"00 02 01 'A'", "00 02 00 'A'"},
		} {
			t.Run(fmt.Sprintf("3.%d %s", minor, form), func(t *testing.T) {
				xpub := socket.NewXPub()
				defer xpub.Close()
				bound, err := xpub.Bind("tcp://127.0.0.1:0")
				require.NoError(t, err)
				p := sockettest.DialRaw(t, bound)
				p.Handshake("SUB", minor)
				p.Send(wire[0])
				m, err := xpub.Recv(limit(t))
				require.NoError(t, err)
				assert.Equal(t, "\x01A", m.String())
				require.NoError(t, xpub.Send(limit(t), []byte("Apple")))
				assert.Equal(t, []string{"Apple"}, p.ReadMessage())
				p.Send(wire[1])
				m, err = xpub.Recv(limit(t))
				require.NoError(t, err)
				assert.Equal(t, "\x00A", m.String())
			})
		}
	}
}

// Trap 6: subscriptions are counted here, and a publisher is told of the first and the last of a topic only.
func TestTrap06_SubscriptionsAreCounted(t *testing.T) {
	t.Parallel()
	sub := socket.NewSub()
	defer sub.Close()
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, sub.Connect(endpoint))
	p := sockettest.AcceptRaw(t, ln)
	p.Handshake("PUB", 1)
	require.NoError(t, sub.WaitPeers(limit(t), 1))
	require.NoError(t, sub.Subscribe("A", "A", "B"))
	require.NoError(t, sub.Unsubscribe("A", "B", "A"))
	assert.Equal(t, "A", string(p.ExpectCommand("SUBSCRIBE")))
	assert.Equal(t, "B", string(p.ExpectCommand("SUBSCRIBE")))
	assert.Equal(t, "B", string(p.ExpectCommand("CANCEL")))
	assert.Equal(t, "A", string(p.ExpectCommand("CANCEL")))
	assert.ErrorIs(t, sub.Unsubscribe("A"), socket.ErrState)
}

// RFC 29, and issue of many: the whole set is told again after a reconnect, outside the high-water marks.
func TestSub_TellsAllTopicsAgain(t *testing.T) {
	t.Parallel()
	sub := socket.NewSub(socket.WithSendHWM(10), socket.WithReconnect(time.Millisecond, 5*time.Millisecond))
	defer sub.Close()
	const topics = 5000
	for i := range topics {
		require.NoError(t, sub.Subscribe(fmt.Sprintf("topic-%d", i)))
	}
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, sub.Connect(endpoint))
	for range 3 {
		p := sockettest.AcceptRaw(t, ln)
		p.Handshake("PUB", 1)
		seen := map[string]bool{}
		for range topics {
			seen[string(p.ExpectCommand("SUBSCRIBE"))] = true
		}
		assert.Len(t, seen, topics)
		p.Close()
	}
}

// Trap 11: what is refused for now is refused without a word, since some peers never come back after an ERROR.
func TestTrap11_TransientRefusalsAreSilent(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithMaxPeers(1))
	defer pull.Close()
	bound, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	first := sockettest.DialRaw(t, bound)
	first.Handshake("PUSH", 1)
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	assert.Empty(t, sockettest.DialRaw(t, bound).ExpectClosed())
}

// Trap 2: nothing is sent before the peer's READY is here, however much is queued.
func TestTrap02_NothingBeforeReady(t *testing.T) {
	t.Parallel()
	push := socket.NewPush()
	defer push.Close()
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	require.NoError(t, push.Send(limit(t), []byte("queued")))
	p := sockettest.AcceptRaw(t, ln)
	p.SendGreeting(1, "NULL")
	p.ReadGreeting()
	p.ReadReady()
	p.ExpectSilence(20 * time.Millisecond)
	p.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PULL"})
	assert.Equal(t, []string{"queued"}, p.ReadMessage())
}

// RFC 37, PING: answered with its context by every socket type and to every version.
func TestRFC37_PingIsAnswered(t *testing.T) {
	t.Parallel()
	for _, minor := range []byte{0, 1} {
		for peer, s := range map[string]interface {
			Bind(string) (string, error)
			Close() error
		}{
			"PULL": socket.NewPush(), "PUSH": socket.NewPull(), "REP": socket.NewReq(), "REQ": socket.NewRep(),
			"ROUTER": socket.NewDealer(), "DEALER": socket.NewRouter(), "SUB": socket.NewPub(), "PUB": socket.NewSub(),
			"XSUB": socket.NewXPub(), "XPUB": socket.NewXSub(), "PAIR": socket.NewPair(),
		} {
			bound, err := s.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			p := sockettest.DialRaw(t, bound)
			p.Handshake(peer, minor)
			p.SendCommand("PING", []byte("\x00\x00context"))
			assert.Equal(t, "context", string(p.ExpectCommand("PONG")), "to a %s peer", peer)
			p.Close()
			require.NoError(t, s.Close())
		}
	}
}
