package socket_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Where each subscription is shown again when a peer leaves, repeated ones count against the bound too: a peer cannot have us hold more
// than it could by different topics.
func TestSubscriptions_RepeatsAreBounded(t *testing.T) {
	for name, option := range map[string]socket.Option{"verboser": socket.WithVerboser(), "manual": socket.WithManual()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most = 10_000
			ended := &events{}
			xpub := socket.NewXPub(option, ended.option(), socket.WithRecvHWM(0), socket.WithRecvHWMBytes(0))
			closing(t, xpub)
			raw := sockettest.DialRaw(t, bind(t, xpub, "tcp://127.0.0.1:0"))
			raw.Handshake("SUB", 1)
			raw.Write(bytes.Repeat([]byte("\x04\x0b\x09SUBSCRIBEt"), most))
			raw.Subscribe("t")
			count := map[string]int{}
			for range 2 * most {
				m, err := xpub.Recv(limit(t))
				require.NoError(t, err)
				count[m.String()]++
			}
			assert.Equal(t, map[string]int{"\x01t": most, "\x00t": most}, count)
			_, err := xpub.Recv(soon(t))
			require.ErrorIs(t, err, socket.ErrTimeout)
			require.Eventually(t, func() bool { return len(ended.of(socket.Disconnected)) == 1 }, sockettest.Timeout, time.Millisecond)
			assert.ErrorIs(t, ended.of(socket.Disconnected)[0].Err, socket.ErrTooLarge)
		})
	}
}

// Grant and Revoke need WithManual, a peer that is there, and topics that are no longer or more than a peer itself may have.
func TestGrant_Refused(t *testing.T) {
	t.Parallel()
	xpub, sub := socket.NewXPub(socket.WithManual()), socket.NewSub()
	join(t, "tcp", xpub, sub)
	require.NoError(t, sub.Subscribe("a"))
	peer := recv(t, xpub).Peer()
	long := string(make([]byte, 2<<10))
	require.ErrorIs(t, xpub.Grant(peer, "a", long), socket.ErrTooLarge)
	require.Equal(t, []string{"a"}, xpub.Topics(), "those before the one that is refused are granted")
	require.ErrorIs(t, xpub.Revoke(peer, "b"), socket.ErrState)
	require.ErrorContains(t, xpub.Revoke(peer, "b"), `revoke: wrong state: not subscribed to "b"`)
	require.ErrorIs(t, xpub.Grant(nil, "a"), socket.ErrPeerGone)
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	require.ErrorIs(t, xpub.Grant(peer, many...), socket.ErrTooLarge)
	require.NoError(t, xpub.Close())
	require.ErrorIs(t, xpub.Grant(peer, "a"), socket.ErrClosed)

	plain, other := socket.NewXPub(), socket.NewSub()
	join(t, "inproc", plain, other)
	require.NoError(t, other.Subscribe("a"))
	peer = recv(t, plain).Peer()
	require.ErrorIs(t, plain.Grant(peer, "a"), socket.ErrState)
	require.ErrorContains(t, plain.Revoke(peer, "a"), "WithManual")
	require.ErrorIs(t, new(socket.XPub).Grant(peer, "a"), socket.ErrState)
	require.ErrorIs(t, new(socket.XPub).SendTo(limit(t), peer, text("a")), socket.ErrState)
}

// A subscriber that came by an endpoint of ours and was disconnected from it is subscribed to nothing, whatever it still says.
func TestPub_ForgetsWhoWasDisconnected(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithLinger(10 * time.Second))
	closing(t, pub)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, pub.Connect(endpoint))
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("SUB", 1)
	raw.Subscribe("a")
	require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
	require.NoError(t, pub.Disconnect(endpoint))
	require.Zero(t, pub.TopicCount())
	raw.Subscribe("b")
	raw.ExpectClosed()
	require.Zero(t, pub.TopicCount())
}

// With WithConflate a SUB keeps the last message that it is subscribed to, whatever else a publisher sends that does not filter.
func TestConflate_LastWanted(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		sub := socket.NewSub(socket.WithConflate())
		closing(t, sub)
		require.NoError(t, sub.Subscribe("a"))
		raw := rawOf(t, bind(t, sub, fresh(t, transport)), "PUB")
		raw.ExpectCommand("SUBSCRIBE")
		var all []byte
		for i := range 100 {
			all = append(all, fmt.Sprintf("\x00\x04a %02d\x00\x04b %02d", i, i)...)
		}
		raw.Write(all)
		raw.SendMessage("a", "of", "several")
		raw.SendMessage("b")
		synced(raw)
		requireMsg(t, recv(t, sub), "a", "of", "several")
		assert.EqualValues(t, 100, sub.Stats().Dropped[socket.DropConflated])
		_, err := sub.Recv(soon(t))
		require.ErrorIs(t, err, socket.ErrTimeout)
	})
}

// With WithConflate nothing is ever held back by a receiver that does not receive, and each peer has a last message of its own.
func TestConflate_EachPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 3000 // of 10 KB: more than there is room for on the way
		pull := socket.NewPull(socket.WithConflate(), socket.WithRecvHWM(1))
		closing(t, pull)
		endpoint := bind(t, pull, fresh(t, transport))
		for range 2 {
			push := socket.NewPush()
			closing(t, push)
			require.NoError(t, push.Connect(endpoint))
			require.NoError(t, push.WaitPeers(limit(t), 1))
			numbered(t, push, 0, messages, 10_000)
		}
		require.Eventually(t, func() bool { return pull.Stats().Dropped[socket.DropConflated] == 2*(messages-1) }, sockettest.Timeout, time.Millisecond)
		for range 2 {
			require.Equal(t, messages-1, ordinalOf(recv(t, pull)))
		}
		for _, p := range pull.Stats().Peers {
			assert.EqualValues(t, messages, p.MessagesIn)
			assert.EqualValues(t, messages*10_000, p.BytesIn)
			assert.Zero(t, p.InboxMessages)
			assert.Zero(t, p.InboxBytes)
		}
	})
}
