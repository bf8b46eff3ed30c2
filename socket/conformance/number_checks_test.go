package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// What RFC 41 says of SERVER and RFC 51 of PEER in the same words is checked here.

// greetBy has a raw peer say hello, and returns by which number it is known.
func greetBy(t *testing.T, s numbered, raw *sockettest.RawPeer) (id uint32) {
	t.Helper()
	raw.SendMessage("hello")
	m := recv(t, s)
	require.Equal(t, "hello", m.String())
	require.NotZero(t, m.RoutingID())
	require.Equal(t, m.RoutingID(), m.Peer().Number())
	return m.RoutingID()
}

// checkNumbersPeers has many peers, who are told apart by number, whatever they say of themselves.
func checkNumbersPeers(t *testing.T, transport string, s numbered, peerType string) {
	endpoint := bound(t, transport, s)
	peers := map[uint32]*sockettest.RawPeer{}
	for i := range 30 {
		raw := rawPeer(t, endpoint, peerType, sockettest.Property{Name: "Identity", Value: "\x00\x00\x00\x01"},
			sockettest.Property{Name: "Routing-Id", Value: fmt.Sprint(i)})
		id := greetBy(t, s, raw)
		require.Equal(t, id, greetBy(t, s, raw), "it stays the same")
		peers[id] = raw
	}
	require.Len(t, peers, 30)
	for id := range peers {
		send(t, to(s, id), fmt.Sprint(id))
	}
	for id, raw := range peers {
		require.Equal(t, []string{fmt.Sprint(id)}, raw.ReadMessage())
	}
}

// checkPassesByNumber sends and receives all sorts of messages of one frame.
func checkPassesByNumber(t *testing.T, transport string, s numbered, peerType string) {
	raw := rawPeer(t, bound(t, transport, s), peerType)
	id := greetBy(t, s, raw)
	for _, b := range oddBodies() {
		send(t, to(s, id), b)
		require.Equal(t, []string{b}, raw.ReadMessage())
		raw.SendMessage(b)
		requireRecv(t, s, b)
	}
}

// checkUnknownNumber sends to numbers that are nobody's, and to that of a peer that has gone.
func checkUnknownNumber(t *testing.T, transport string, s numbered, peerType string) {
	raw := rawPeer(t, bound(t, transport, s), peerType)
	id := greetBy(t, s, raw)
	for _, unknown := range []uint32{0, id + 1, id - 1} {
		require.ErrorIs(t, s.Send(limit(t), unknown, []byte("x")), socket.ErrNoPeer)
	}
	gone := watch(t, s)
	raw.Close()
	gone(socket.Disconnected)
	require.ErrorIs(t, s.Send(limit(t), id, []byte("x")), socket.ErrNoPeer)
}

// checkFullNumber wants s to have high-water marks of 3. A peer does not read, another one does; each is concerned by its own queues alone.
func checkFullNumber(t *testing.T, transport string, s numbered, peerType string) {
	endpoint := bound(t, transport, s)
	slow := rawPeer(t, endpoint, peerType)
	id := greetBy(t, s, slow)
	sent := fill(t, to(s, id))
	waiting := sending(limit(t), to(s, id), "waited")
	quick := rawPeer(t, endpoint, peerType)
	other := greetBy(t, s, quick)
	send(t, to(s, other), "not concerned")
	require.Equal(t, []string{"not concerned"}, quick.ReadMessage())
	slow.SendMessage("in while out is full")
	requireRecv(t, s, "in while out is full")
	for range sent {
		require.Len(t, slow.ReadMessage()[0], 64<<10)
	}
	require.NoError(t, <-waiting)
	require.Equal(t, []string{"waited"}, slow.ReadMessage())
	clog(t, s, slow, strings.Repeat("e", 64<<10))
	send(t, to(s, id), "out while in is full")
	require.Equal(t, []string{"out while in is full"}, slow.ReadMessage())
	require.Empty(t, s.Stats().Dropped)
}

// checkDestroysNumber wants s to have a high-water mark of 5. A peer that connected to it goes while messages are queued for it.
func checkDestroysNumber(t *testing.T, transport string, s numbered, peerType string) {
	endpoint := bound(t, transport, s)
	raw := rawPeer(t, endpoint, peerType)
	id := greetBy(t, s, raw)
	fill(t, to(s, id))
	failed := make(chan error, 1)
	go func() { // ends when the peer has gone
		err := s.Send(limit(t), id, nil)
		for err == nil { // the system took some more
			err = s.Send(limit(t), id, nil)
		}
		failed <- err
	}()
	gone := watch(t, s)
	raw.Close()
	gone(socket.Disconnected)
	require.ErrorIs(t, <-failed, socket.ErrNoPeer)
	require.Positive(t, s.Stats().Dropped[socket.DropPeerGone])

	raw = rawPeer(t, endpoint, peerType)
	next := greetBy(t, s, raw)
	require.NotEqual(t, id, next)
	for i := range 5 {
		require.NoError(t, s.Send(try(), next, fmt.Append(nil, i)))
	}
	for i := range 5 {
		require.Equal(t, []string{fmt.Sprint(i)}, raw.ReadMessage())
	}
}

// checkNumberOutlivesConnection connects s to a peer that goes and comes back: its number and its queue stay.
func checkNumberOutlivesConnection(t *testing.T, transport string, s numbered, peerType string) {
	closing(t, s)
	l := listenRaw(t, fresh(transport))
	connect(t, s, l.Endpoint)
	raw := l.Peer(peerType)
	id := greetBy(t, s, raw)
	for round := range 3 {
		gone := watch(t, s)
		raw.Close()
		gone(socket.Disconnected)
		require.NoError(t, s.Send(try(), id, fmt.Append(nil, "kept ", round)))
		raw = l.Peer(peerType)
		require.Equal(t, []string{fmt.Sprint("kept ", round)}, raw.ReadMessage())
		require.Equal(t, id, greetBy(t, s, raw))
	}
}
