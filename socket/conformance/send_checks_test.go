package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What several RFCs say of sending in the same words is checked here, for a socket of whichever type they are about.

type pusher interface {
	connector
	sender
}

type puller interface {
	connector
	recver
}

type duplex interface {
	connector
	sender
	recver
}

// oddMessages are messages that an implementation might be tempted to treat in some special way.
func oddMessages() [][]string {
	return [][]string{
		{"x"}, {""}, {"", ""}, {"", "x", ""}, {"x", "", "y"}, {"\x00\x01\xff"}, {"\x04PING"}, {"\x01topic"},
		{strings.Repeat("s", 255)}, {strings.Repeat("l", 256)}, {strings.Repeat("h", 100_000), "", "t"}, strings.Split(strings.Repeat("f,", 99), ","),
	}
}

// fillSize is the size of the frame that fill sends.
const fillSize = 64 << 10

// fill sends large messages until there has been no room for a while, and returns how many were taken. Behind head they are one frame that begins with the
// number of the message.
func fill(t *testing.T, s sender, head ...string) (n int) {
	t.Helper()
	for {
		number := fmt.Sprint(n, " ")
		frames := bodies(append(slices.Clone(head), number+strings.Repeat("f", fillSize-len(number)))...)
		err := s.Send(soon(t), frames...) // in which what is being written arrives
		if err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			err = s.Send(try(), frames...) // one that waits is woken when the queue is half empty; there may be room before
		}
		if err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			return n
		}
		n++
	}
}

// filled returns the number of a message that fill sent, with no head.
func filled(t *testing.T, frames []string) (n int) {
	t.Helper()
	require.Len(t, frames, 1)
	require.Equal(t, fillSize, len(frames[0])) // Len would print it
	_, err := fmt.Sscan(frames[0][:20], &n)
	require.NoError(t, err)
	return n
}

// checkQueuePerPeer wants s to have a high-water mark of 3. One of its peers is not there, and has a queue of that size; the other gets the rest.
func checkQueuePerPeer(t *testing.T, transport string, s pusher, live, late puller) {
	closing(t, s, late)
	endpoint := unbound(t, transport)
	connect(t, s, endpoint)
	connect(t, s, bound(t, transport, live))
	awaitPeers(t, s, 1)
	for i := range 20 {
		send(t, s, fmt.Sprint(i))
	}
	got := map[string]bool{}
	for range 17 {
		got[recv(t, live).String()] = true
	}
	requireNothing(t, live)
	bind(t, late, endpoint)
	for range 3 {
		got[recv(t, late).String()] = true
	}
	requireNothing(t, late)
	require.Len(t, got, 20)
}

// checkQueueOutlivesConnection sends to an endpoint before it is there, and while it is gone.
func checkQueueOutlivesConnection(t *testing.T, transport string, s pusher, receiver func() puller) {
	endpoint := unbound(t, transport)
	closing(t, s)
	connect(t, s, endpoint)
	for round := range 3 {
		for i := range 5 {
			require.NoError(t, trySend(s, fmt.Sprint(round, i)))
		}
		r := receiver()
		closing(t, r)
		bind(t, r, endpoint)
		for i := range 5 {
			requireRecv(t, r, fmt.Sprint(round, i))
		}
		gone := watch(t, s)
		require.NoError(t, r.Close())
		gone(socket.Disconnected)
	}
}

// checkQueueSurvivesLoss wants s to have a high-water mark of 5. The peer that it connected to goes while messages are queued for it.
func checkQueueSurvivesLoss(t *testing.T, transport string, s pusher, peerType string) {
	closing(t, s)
	l := listenRaw(t, fresh(transport))
	connect(t, s, l.Endpoint)
	raw := l.Peer(peerType)
	awaitPeers(t, s, 1)
	sent := fill(t, s)
	raw.Close() // with it goes what is on the way already
	raw = l.Peer(peerType)
	for i := filled(t, raw.ReadMessage()) + 1; i < sent; i++ {
		require.Equal(t, i, filled(t, raw.ReadMessage()))
	}
	require.Empty(t, s.Stats().Dropped)
}

// checkDestroysQueue wants s to have a high-water mark of 5. A peer that connected to it goes while messages are queued for it.
func checkDestroysQueue(t *testing.T, transport string, s pusher, peerType string) {
	endpoint := bound(t, transport, s)
	raw := rawPeer(t, endpoint, peerType)
	awaitPeers(t, s, 1)
	fill(t, s, "old")
	require.Positive(t, s.Stats().Peers[0].QueueMessages)
	gone := watch(t, s)
	raw.Close()
	gone(socket.Disconnected)
	require.ErrorIs(t, trySend(s, "nobody there"), socket.ErrNoPeer)
	assert.Positive(t, s.Stats().Dropped[socket.DropPeerGone])

	raw = rawPeer(t, endpoint, peerType)
	awaitPeers(t, s, 1)
	for i := range 5 {
		require.NoError(t, trySend(s, fmt.Sprint("new ", i)))
	}
	for i := range 5 {
		require.Equal(t, []string{fmt.Sprint("new ", i)}, raw.ReadMessage())
	}
	raw.ExpectSilence(20 * time.Millisecond)
}

// checkFullQueue wants s to have a high-water mark of 7.
func checkFullQueue(t *testing.T, transport string, s pusher, r puller) {
	endpoint := unbound(t, transport)
	closing(t, s, r)
	connect(t, s, endpoint)
	for i := range 7 {
		require.NoError(t, trySend(s, fmt.Sprint(i)))
	}
	require.ErrorIs(t, trySend(s, "refused"), socket.ErrFull)
	err := s.Send(soon(t), []byte("refused after a wait"))
	require.ErrorIs(t, err, socket.ErrFull)
	require.ErrorIs(t, err, socket.ErrTimeout)
	sent := sending(limit(t), s, "waited")
	bind(t, r, endpoint)
	require.NoError(t, <-sent)
	for i := range 7 {
		requireRecv(t, r, fmt.Sprint(i))
	}
	requireRecv(t, r, "waited")
	requireNothing(t, r)
}

// sending sends from a goroutine of its own.
func sending(ctx context.Context, s sender, frames ...string) (sent chan error) {
	sent = make(chan error, 1)
	go func() { sent <- s.Send(ctx, bodies(frames...)...) }() // ends with ctx
	return sent
}

// checkRoundRobin gives each of some peers exactly its share, in order.
func checkRoundRobin(t *testing.T, transport string, s pusher, receiver func() puller) {
	const peers, rounds = 5, 20
	closing(t, s)
	all := make([]puller, peers)
	for i := range all {
		all[i] = receiver()
		connect(t, s, bound(t, transport, all[i]))
	}
	awaitPeers(t, s, peers)
	for i := range rounds * peers {
		send(t, s, fmt.Sprint(i))
	}
	begun := map[int]bool{}
	for _, r := range all {
		var first int
		_, err := fmt.Sscan(recv(t, r).String(), &first)
		require.NoError(t, err)
		require.Less(t, first, peers)
		begun[first] = true
		for round := 1; round < rounds; round++ {
			requireRecv(t, r, fmt.Sprint(first+round*peers))
		}
		requireNothing(t, r)
	}
	require.Len(t, begun, peers, "each of the first messages goes to another peer")
}

// checkBlocksWithoutPeer sends before there is a peer.
func checkBlocksWithoutPeer(t *testing.T, transport string, s pusher, r puller) {
	endpoint := bound(t, transport, s)
	closing(t, r)
	err := trySend(s, "refused")
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.NotErrorIs(t, err, socket.ErrTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	err = s.Send(ctx, []byte("refused after a wait"))
	require.Error(t, ctx.Err(), "it waits as long as it may")
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.ErrorIs(t, err, socket.ErrTimeout)
	sent := sending(limit(t), s, "waited")
	connect(t, r, endpoint)
	require.NoError(t, <-sent)
	requireRecv(t, r, "waited")
	requireNothing(t, r)
}
