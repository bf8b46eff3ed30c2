package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 28, DEALER: MAY be connected to any number of REP or ROUTER peers, and MAY both send and receive messages.
// RFC 28, DEALER: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 28, DEALER: SHALL deliver incoming messages to its calling application.
func TestRFC28_DEALER_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, peer := range []string{"REP", "ROUTER", "DEALER"} {
			checkPassesAsIs(t, transport, socket.NewDealer(), peer)
		}
	})
}

// RFC 28, DEALER: SHALL maintain a double queue for each connected peer, so that outgoing and incoming messages are queued independently.
func TestRFC28_DEALER_DoubleQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkIndependentQueues(t, transport, socket.NewDealer(socket.WithSendHWM(3), socket.WithRecvHWM(3)), "ROUTER")
	})
}

// RFC 28, DEALER: SHALL maintain a double queue for each connected peer.
// RFC 28, DEALER: SHALL consider a peer as available only while its outgoing queue is not full.
func TestRFC28_DEALER_QueuePerPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueuePerPeer(t, transport, socket.NewDealer(socket.WithSendHWM(3), swift()), socket.NewDealer(), socket.NewDealer())
		checkInboxPerPeer(t, transport, socket.NewDealer(socket.WithRecvHWM(3)), "ROUTER")
	})
}

// RFC 28, DEALER: SHALL create the double queue of a peer that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC28_DEALER_QueuesOutliveConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkQueueOutlivesConnection(t, transport, socket.NewDealer(swift()), func() puller { return socket.NewDealer() })
		checkQueueSurvivesLoss(t, transport, socket.NewDealer(socket.WithSendHWM(5), swift()), "ROUTER")
		checkInboxOutlivesConnection(t, transport, socket.NewDealer(swift()), "ROUTER")
	})
}

// RFC 28, DEALER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (outgoing) messages in it.
// Behaviour 4: what was queued for a peer that connected to a DEALER and went is gone, also when it comes back, and sending fails meanwhile.
func TestRFC28_DEALER_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkDestroysQueue(t, transport, socket.NewDealer(socket.WithSendHWM(5), socket.WithLinger(0)), "ROUTER")
	})
}

// RFC 28, DEALER: SHALL create a double queue when a peer connects to it; when that peer disconnects, SHALL destroy it and discard the (incoming) messages in it.
// Behaviour 4: what had arrived from a peer of a DEALER that went is not delivered any more.
//
// Differs: what has arrived is delivered. A peer that sends its last message and closes would otherwise lose it, and nobody would know. libzmq
// delivers it too, and has its test of this switched off.
func TestRFC28_DEALER_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkKeepsWhatArrived(t, transport, socket.NewDealer(), "ROUTER")
	})
}

// RFC 28, DEALER: SHOULD constrain incoming and outgoing queue sizes to a limit that is set at run time.
// RFC 28, DEALER: SHALL not accept further messages while it has no available peers.
// RFC 28, DEALER: SHALL NOT discard messages that it cannot queue.
func TestRFC28_DEALER_FullQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFullQueue(t, transport, socket.NewDealer(socket.WithSendHWM(7), swift()), socket.NewDealer())
		checkFullInbox(t, transport, socket.NewDealer(socket.WithRecvHWM(3)), "ROUTER")
	})
}

// RFC 28, DEALER: SHALL route outgoing messages to its available peers in turn.
// Behaviour 1: DEALER with five peers: of five messages each peer gets exactly one.
func TestRFC28_DEALER_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkRoundRobin(t, transport, socket.NewDealer(), func() puller { return socket.NewDealer() })
	})
}

// RFC 28, DEALER: SHALL block on sending, or return a suitable error, while it has no available peers.
// Behaviour 3: DEALER without a peer: a try fails at once, Send with a time limit of 250 ms fails after that.
func TestRFC28_DEALER_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkBlocksWithoutPeer(t, transport, socket.NewDealer(), socket.NewDealer())
	})
}

// RFC 28, DEALER: SHALL receive incoming messages from its peers with a fair-queuing strategy.
func TestRFC28_DEALER_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		checkFairQueue(t, transport, socket.NewDealer(socket.WithRecvHWM(10)), "ROUTER")
		checkTurns(t, transport, socket.NewDealer(), "DEALER")
	})
}

// Behaviour 2: after two messages of one peer alone, the one message of each of five peers arrives.
func TestBehaviour02_DealerFairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dealer := socket.NewDealer()
		endpoint := bound(t, transport, dealer)
		first := rawPeer(t, endpoint, "DEALER")
		for range 2 {
			first.SendMessage("first")
			requireRecv(t, dealer, "first")
		}
		first.SendMessage("0")
		for _, name := range []string{"1", "2", "3", "4"} {
			rawPeer(t, endpoint, "DEALER").SendMessage(name)
		}
		var got []string
		for range 5 {
			got = append(got, recv(t, dealer).String())
		}
		require.ElementsMatch(t, []string{"0", "1", "2", "3", "4"}, got)
	})
}
