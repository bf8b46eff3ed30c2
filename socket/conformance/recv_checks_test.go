package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// What several RFCs say of receiving in the same words is checked here, for a socket of whichever type they are about.

// named is a raw peer that inboxOf finds.
func named(t *testing.T, endpoint, socketType, name string) *sockettest.RawPeer {
	t.Helper()
	return rawPeer(t, endpoint, socketType, sockettest.Property{Name: "X-Name", Value: name})
}

// inboxOf is how many messages of a named peer wait to be received.
func inboxOf(s connector, name string) int {
	for _, peer := range s.Stats().Peers {
		if peer.Peer != nil {
			if have, _ := peer.Peer.Property("X-Name"); have == name {
				return peer.InboxMessages
			}
		}
	}
	return -1
}

// clog sends the same message over and over until s, which has 3 or more of a peer, has not read on for a while.
func clog(t *testing.T, s connector, raw *sockettest.RawPeer, frames ...string) {
	t.Helper()
	var message []byte
	for i, frame := range frames {
		flags := byte(2)
		if i < len(frames)-1 {
			flags |= 1
		}
		message = append(binary.BigEndian.AppendUint64(append(message, flags), uint64(len(frame))), frame...)
	}
	full := func(p socket.PeerStats) bool { return p.InboxMessages >= 3 }
	rest := message
	for written := 0; written < 1000*len(message); {
		require.NoError(t, raw.Conn().SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		n, err := raw.Conn().Write(rest)
		written += n
		if rest = rest[n:]; len(rest) == 0 {
			rest = message
		}
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			if slices.ContainsFunc(s.Stats().Peers, full) {
				return
			}
		}
	}
	require.Fail(t, "the other side reads on", "1000 messages")
}

// checkInboxPerPeer wants s to have a high-water mark of 3 for what it receives. One peer has filled its queue; another one's is not concerned.
func checkInboxPerPeer(t *testing.T, transport string, s puller, peerType string) {
	endpoint := bound(t, transport, s)
	eager, modest := named(t, endpoint, peerType, "eager"), named(t, endpoint, peerType, "modest")
	awaitPeers(t, s, 2)
	clog(t, s, eager, strings.Repeat("e", 64<<10))
	full := inboxOf(s, "eager")
	require.GreaterOrEqual(t, full, 3)
	require.LessOrEqual(t, full, 3+4, "one read may go beyond, which is at most 256 KiB")
	modest.SendMessage("m")
	eventually(t, func() bool { return inboxOf(s, "modest") == 1 }, "the message of the other peer")
	for i := 0; ; i++ {
		require.Less(t, i, full, "the other peer has its turn")
		if recv(t, s).String() == "m" {
			return
		}
	}
}

// checkInboxOutlivesConnection connects s to a peer that sends and goes.
func checkInboxOutlivesConnection(t *testing.T, transport string, s puller, peerType string) {
	closing(t, s)
	l := listenRaw(t, fresh(transport))
	connect(t, s, l.Endpoint)
	for range 2 {
		raw := l.Peer(peerType)
		for i := range 3 {
			raw.SendMessage(fmt.Sprint(i))
		}
		awaitInbox(t, s, 3)
		gone := watch(t, s)
		raw.Close()
		gone(socket.Disconnected)
		for i := range 3 {
			require.Equal(t, fmt.Sprint(i), recv(t, s).String())
		}
	}
}

// checkKeepsWhatArrived has a peer that connected to s send and go, and another one follow.
func checkKeepsWhatArrived(t *testing.T, transport string, s puller, peerType string) {
	endpoint := bound(t, transport, s)
	gone := watch(t, s)
	raw := rawPeer(t, endpoint, peerType)
	for i := range 3 {
		raw.SendMessage(fmt.Sprint(i))
	}
	raw.Close()
	gone(socket.Disconnected)
	raw = rawPeer(t, endpoint, peerType)
	raw.SendMessage("next")
	awaitInbox(t, s, 1)
	var got []string
	for range 4 {
		got = append(got, recv(t, s).String())
	}
	require.Contains(t, got, "next")
	got = slices.DeleteFunc(got, func(s string) bool { return s == "next" }) // whose turn may come at any time
	require.Equal(t, []string{"0", "1", "2"}, got)
}

// checkFairQueue has one peer send without end, and another one message.
func checkFairQueue(t *testing.T, transport string, s puller, peerType string) {
	endpoint := bound(t, transport, s)
	eager, modest := named(t, endpoint, peerType, "eager"), named(t, endpoint, peerType, "modest")
	awaitPeers(t, s, 2)
	const size = 20 << 10
	message := append([]byte{2, 0, 0, 0, 0, 0, 0, size >> 8, 0}, bytes.Repeat([]byte("e"), size)...)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer eager.Close()
	wg.Go(func() {
		for _, err := eager.Conn().Write(message); err == nil; _, err = eager.Conn().Write(message) {
		}
	})
	for range 5 {
		for range 50 {
			require.Len(t, recv(t, s).Bytes(), size)
		}
		modest.SendMessage("m")
		eventually(t, func() bool { return inboxOf(s, "modest") == 1 }, "the message of the other peer")
		for i := 0; ; i++ {
			require.LessOrEqual(t, i, 2*13, "a turn is one read, which holds at most 13 of these messages")
			if recv(t, s).String() == "m" {
				break
			}
		}
	}
}

// checkTurns has five peers send two messages each, one by one.
func checkTurns(t *testing.T, transport string, s puller, peerType string) {
	endpoint := bound(t, transport, s)
	peers := make([]*sockettest.RawPeer, 5)
	for i := range peers {
		peers[i] = rawPeer(t, endpoint, peerType)
	}
	awaitPeers(t, s, len(peers))
	for round := range 2 {
		for i, raw := range peers {
			raw.SendMessage(fmt.Sprint(round), fmt.Sprint(i))
			awaitInbox(t, s, round*len(peers)+i+1)
		}
	}
	for round := range 2 {
		seen := map[string]bool{}
		for range peers {
			m := recv(t, s)
			require.Equal(t, fmt.Sprint(round), string(m.Frames[len(m.Frames)-2]))
			seen[m.String()] = true
		}
		require.Len(t, seen, len(peers))
	}
}

// checkIndependentQueues wants s to have high-water marks of 3 both ways. Each way goes on while the other is full.
func checkIndependentQueues(t *testing.T, transport string, s duplex, peerType string) {
	endpoint := bound(t, transport, s)
	raw := rawPeer(t, endpoint, peerType)
	awaitPeers(t, s, 1)
	sent := fill(t, s)
	raw.SendMessage("in while out is full")
	requireRecv(t, s, "in while out is full")
	for i := range sent {
		require.Equal(t, i, filled(t, raw.ReadMessage()))
	}
	clog(t, s, raw, strings.Repeat("e", 64<<10))
	send(t, s, "out while in is full")
	require.Equal(t, []string{"out while in is full"}, raw.ReadMessage())
}

// checkFullInbox wants s to have a high-water mark of 3 for what it receives.
func checkFullInbox(t *testing.T, transport string, s puller, peerType string) {
	endpoint := bound(t, transport, s)
	eager := named(t, endpoint, peerType, "eager")
	awaitPeers(t, s, 1)
	clog(t, s, eager, strings.Repeat("e", 64<<10))
	require.LessOrEqual(t, inboxOf(s, "eager"), 3+4, "one read may go beyond, which is at most 256 KiB")
	require.GreaterOrEqual(t, inboxOf(s, "eager"), 3)
}

// checkPassesAsIs sends and receives all sorts of messages.
func checkPassesAsIs(t *testing.T, transport string, s duplex, peerType string) {
	raw := rawPeer(t, bound(t, transport, s), peerType)
	awaitPeers(t, s, 1)
	for _, frames := range oddMessages() {
		send(t, s, frames...)
		require.Equal(t, frames, raw.ReadMessage())
		raw.SendMessage(frames...)
		requireRecv(t, s, frames...)
	}
}
