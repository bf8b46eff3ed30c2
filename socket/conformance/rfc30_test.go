package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 30, PUSH: MAY be connected to any number of PULL peers, and SHALL only send messages.
func TestRFC30_PUSH_OnlySends(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush()
		_, receives := any(push).(recver)
		require.False(t, receives)
		raw := rawPeer(t, bound(t, transport, push), "PULL")
		raw.SendMessage("against the rules")
		eventually(t, func() bool { return push.Stats().Dropped[socket.DropUnwanted] == 1 }, "the message is dropped and counted")
		send(t, push, "goes on")
		require.Equal(t, []string{"goes on"}, raw.ReadMessage())
	})
}

// RFC 30, PUSH: SHALL not filter or modify outgoing messages in any way.
func TestRFC30_PUSH_SendsAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush()
		raw := rawPeer(t, bound(t, transport, push), "PULL")
		awaitPeers(t, push, 1)
		for _, frames := range oddMessages() {
			send(t, push, frames...)
			require.Equal(t, frames, raw.ReadMessage())
		}
	})
}

// RFC 30, PUSH: SHALL maintain an outgoing queue for each connected peer.
// RFC 30, PUSH: SHALL consider a peer as available only while its outgoing queue is not full.
func TestRFC30_PUSH_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueuePerPeer(t, transport, socket.NewPush(socket.WithSendHWM(3), swift()), socket.NewPull(), socket.NewPull())
	})
}

// RFC 30, PUSH: SHALL create the queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC30_PUSH_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, socket.NewPush(swift()), func() puller { return socket.NewPull() })
		checkQueueSurvivesLoss(t, transport, socket.NewPush(socket.WithSendHWM(5), swift()), "PULL")
	})
}

// RFC 30, PUSH: SHALL create a queue when a peer connects to it; when that peer disconnects, SHALL destroy the queue and discard the messages in it.
// Behaviour 8: what was queued for a PULL that connected and went is never delivered, and the one that comes back finds an empty queue of full size.
func TestRFC30_PUSH_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, socket.NewPush(socket.WithSendHWM(5), socket.WithLinger(0)), "PULL")
	})
}

// RFC 30, PUSH: SHOULD constrain queue sizes to a limit that is set at run time.
// RFC 30, PUSH: SHALL not accept further messages while it has no available peers.
// RFC 30, PUSH: SHALL NOT discard messages that it cannot queue.
func TestRFC30_PUSH_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, socket.NewPush(socket.WithSendHWM(7), swift()), socket.NewPull())
	})
}

// RFC 30, PUSH: SHALL route messages to the available peers in turn.
// Behaviour 5: PUSH over N peers gives each of them exactly one of every N messages, in order.
func TestRFC30_PUSH_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkRoundRobin(t, transport, socket.NewPush(), func() puller { return socket.NewPull() })
	})
}

// RFC 30, PUSH: SHALL block on sending, or return a suitable error, while it has no available peers.
// Behaviour 7: PUSH without a peer: a try fails at once, Send with a time limit fails after that.
func TestRFC30_PUSH_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, socket.NewPush(), socket.NewPull())
	})
}

// RFC 30, PULL: MAY be connected to any number of PUSH peers, and SHALL only receive messages.
func TestRFC30_PULL_OnlyReceives(t *testing.T) {
	t.Parallel()
	_, sends := any(socket.NewPull()).(sender)
	require.False(t, sends)
}

// RFC 30, PULL: SHALL not filter or modify incoming messages in any way.
// RFC 30, PULL: SHALL deliver these to its calling application.
func TestRFC30_PULL_DeliversAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		raw := rawPeer(t, bound(t, transport, pull), "PUSH")
		for _, frames := range oddMessages() {
			raw.SendMessage(frames...)
			requireRecv(t, pull, frames...)
		}
	})
}

// RFC 30, PULL: SHALL maintain an incoming queue for each connected peer.
// RFC 30, PULL: SHOULD constrain incoming queue sizes to a limit that is set at run time.
func TestRFC30_PULL_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxPerPeer(t, transport, socket.NewPull(socket.WithRecvHWM(3)), "PUSH")
	})
}

// RFC 30, PULL: SHALL create the queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC30_PULL_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkInboxOutlivesConnection(t, transport, socket.NewPull(swift()), "PUSH")
	})
}

// RFC 30, PULL: SHALL create a queue when a peer connects to it; when that peer disconnects, SHALL destroy the queue and discard the messages in it.
//
// Differs: what has arrived is delivered. A PUSH that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC30_PULL_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewPull(), "PUSH")
	})
}

// RFC 30, PULL: SHALL receive from its peers with a fair-queuing strategy.
func TestRFC30_PULL_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewPull(socket.WithRecvHWM(10)), "PUSH")
	})
}

// Behaviour 6: two messages from each of five PUSH peers are received one from each first, and then the second ones.
//
// Differs: a turn is what one read of a peer's connection brought (at most 256 KiB), not one message; two that came together are received
// together. Those that came one by one are received as libzmq does.
func TestBehaviour06_PullFairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkTurns(t, transport, socket.NewPull(), "PUSH")
		pull := socket.NewPull()
		endpoint := bound(t, transport, pull)
		for _, name := range []string{"a", "b", "c"} {
			raw := rawPeer(t, endpoint, "PUSH")
			raw.Write(fmt.Appendf(nil, "\x00\x02%s1\x00\x02%s2", name, name)) // one write call, one read
		}
		awaitInbox(t, pull, 6)
		var got []string
		for range 6 {
			got = append(got, recv(t, pull).String())
		}
		for i := 0; i < len(got); i += 2 {
			assert.Equal(t, got[i][:1]+"1", got[i])
			assert.Equal(t, got[i][:1]+"2", got[i+1])
		}
	})
}

// Behaviour 9: when a peer goes away in the middle of a large message of several frames and comes back, it receives whole messages or none, never a tail.
func TestBehaviour09_MultipartAtomic(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(socket.WithLinger(0), swift())
		closing(t, push)
		l := listenRaw(t, fresh(transport))
		connect(t, push, l.Endpoint)
		raw := l.Peer("PULL")
		large := strings.Repeat("x", 16<<20)
		for i := range 3 {
			send(t, push, fmt.Sprint(i), large, fmt.Sprint("end of ", i))
		}
		raw.Read(1 << 20) // amid the second frame of the first message
		raw.Close()
		raw = l.Peer("PULL")
		for i := 0; i < 3; i++ {
			frames := raw.ReadMessage()
			if transport == "inproc" && i == 0 && frames[0] == "1" {
				i++ // the first was out of our hands as a whole before the peer went
			}
			require.Len(t, frames, 3)
			require.Equal(t, fmt.Sprint(i), frames[0])
			require.Len(t, frames[1], len(large))
			require.Equal(t, fmt.Sprint("end of ", i), frames[2])
		}
	})
}
