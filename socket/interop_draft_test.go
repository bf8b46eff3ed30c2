package socket_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// drafts are the legal pairs of the draft types (RFC 41, 48, 49, 51, 52), each with either implementation in either part.
var drafts = bothWays([]pairing{
	{"CLIENT", "SERVER", answer},
	{"PEER", "PEER", answer},
	{"SCATTER", "GATHER", oneWay},
	{"CHANNEL", "CHANNEL", echo},
	{"RADIO", "DISH", transmit},
})

// RFC 37, with the types that a libzmq has only where it was built with them.
func TestInteropDraft(t *testing.T) {
	t.Parallel()
	runPairings(t, startDraftLibzmq, drafts, sizes()[:6], "tcp", "tcp 3.0", "ipc", "ws")
}

// RFC 45: every socket type talks to its legal peers over WebSocket.
func TestInteropWS(t *testing.T) {
	t.Parallel()
	runPairings(t, startDraftLibzmq, classics, withEmptyFrames(), "ws")
}

// answer has the server, or the PEER of libzmq's, answer by the number that the question came with.
func answer(t *testing.T, client, server end, messages [][][]byte) {
	t.Helper()
	ask := func(m [][]byte) { client.send(m...) }
	hear := client.recv
	if client.socketType() == "PEER" {
		number := peerNumber(t, client.(*own))
		ask = func(m [][]byte) { client.send(number, m[0]) }
		hear = func() [][]byte { return client.recv()[1:] }
	}
	for _, m := range messages {
		ask(m)
		question := server.recv()
		require.Len(t, question, 2)
		requireFrames(t, m, question[1:])
		server.send(question...)
		requireFrames(t, m, hear())
	}
}

// peerNumber is the routing id of the only peer of a PEER of ours, whichever side connected.
func peerNumber(t *testing.T, s *own) []byte {
	t.Helper()
	peers := s.Stats().Peers
	require.Len(t, peers, 1)
	return binary.BigEndian.AppendUint32(nil, peers[0].Peer.Number())
}

// transmit has a RADIO send to groups of which the DISH has joined one. A group is no prefix.
func transmit(t *testing.T, radio, dish end, messages [][][]byte) {
	t.Helper()
	dish.subscribe("group")
	awaitGroup(t, radio, dish, "group")
	for _, m := range messages {
		for _, group := range []string{"grou", "group", "groups"} {
			radio.send([]byte(group), m[0])
		}
		requireFrames(t, [][]byte{[]byte("group"), m[0]}, dish.recv())
	}
	dish.unsubscribe("group")
	dish.subscribe("last")
	awaitGroup(t, radio, dish, "last")
	radio.send(frames("group", "not any more")...)
	radio.send(frames("last", "one")...)
	requireFrames(t, frames("last", "one"), dish.recv())
}

// awaitGroup returns once what radio sends to the group reaches dish, see awaitSubscription.
func awaitGroup(t *testing.T, radio, dish end, group string) {
	t.Helper()
	if r, ours := radio.(*own); ours {
		r.waitSubscriber(group, dish)
		return
	}
	knock(radio, dish, group)
}
