package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// servers binds n REP sockets that answer each request with their number, and connects s to them.
func servers(t *testing.T, transport string, s connector, n int) {
	t.Helper()
	for i := range n {
		rep := socket.NewRep()
		endpoint := bound(t, transport, rep)
		ctx := limit(t)
		go func() { // ends when the test closes rep
			for range rep.Messages(ctx) {
				_ = rep.Send(ctx, fmt.Append(nil, i)) // fails when the test is over
			}
		}()
		connect(t, s, endpoint)
	}
	awaitPeers(t, s, n)
}

// RFC 28, REQ: MAY be connected to any number of REP or ROUTER peers.
// RFC 28, REQ: SHALL route requests to its connected peers in turn.
// Behaviour 10: cycles of request and reply visit the servers in the same order, each once per round.
func TestRFC28_REQ_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const peers = 5
		req := socket.NewReq()
		closing(t, req)
		servers(t, transport, req, peers)
		var order []string
		for i := range 4 * peers {
			send(t, req, "who")
			who := recv(t, req).String()
			if i < peers {
				require.NotContains(t, order, who)
				order = append(order, who)
			}
			require.Equal(t, order[i%peers], who)
		}
	})
}

// RFC 28, REQ: SHALL send and then receive exactly one message at a time.
func TestRFC28_REQ_LockStep(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq()
		raw := rawPeer(t, bound(t, transport, req), "REP")
		_, err := req.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrState)
		for i := range 3 {
			send(t, req, fmt.Sprint(i))
			require.ErrorIs(t, trySend(req, "one too many"), socket.ErrState)
			require.Equal(t, []string{"", fmt.Sprint(i)}, raw.ReadMessage())
			raw.SendMessage("", "reply", fmt.Sprint(i))
			requireRecv(t, req, "reply", fmt.Sprint(i))
			_, err = req.Recv(limit(t))
			require.ErrorIs(t, err, socket.ErrState)
		}
	})
}

// RFC 28, REQ: SHALL send and then receive exactly one message at a time, even after it gave up waiting for a reply.
//
// Differs: when Recv fails, the next request may be sent; otherwise one lost reply would make the socket useless. The late reply is told apart, by
// a new connection to a peer that is not ours.
func TestRFC28_REQ_NextAfterTimeout(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq(swift())
		closing(t, req)
		l := listenRaw(t, fresh(transport))
		connect(t, req, l.Endpoint)
		first := l.Peer("REP")
		send(t, req, "1")
		require.Equal(t, []string{"", "1"}, first.ReadMessage())
		_, err := req.Recv(soon(t))
		require.ErrorIs(t, err, socket.ErrTimeout)
		first.SendMessage("", "late")
		sent := sending(limit(t), req, "2")
		second := l.Peer("REP")
		require.NoError(t, <-sent)
		require.Equal(t, []string{"", "2"}, second.ReadMessage())
		second.SendMessage("", "in time")
		requireRecv(t, req, "in time")
	})
}

// RFC 28, REQ: a request and its reply SHALL consist of an empty delimiter and one or more frames of data.
// RFC 28, REQ: SHALL prefix the outgoing message with an empty delimiter frame.
func TestRFC28_REQ_WireFormat(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq()
		raw := rawPeer(t, bound(t, transport, req), "REP")
		send(t, req, "a", "bc")
		raw.Expect("01 00 01 01 'a' 00 02 'bc'")
		raw.Send("01 00 00 01 'r'")
		requireRecv(t, req, "r")
		for _, frames := range oddMessages() {
			send(t, req, frames...)
			require.Equal(t, append([]string{""}, frames...), raw.ReadMessage())
			raw.SendMessage(append([]string{""}, frames...)...)
			requireRecv(t, req, frames...)
		}
	})
}

// Behaviour 11: a ROUTER sees a request as id, delimiter and its frames, and answers with id, delimiter and those of the reply.
func TestBehaviour11_ReqMessageFormat(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router, req := socket.NewRouter(), socket.NewReq(socket.WithIdentity("me"))
		join(t, transport, router, req)
		send(t, req, "part 1", "part 2")
		requireRecv(t, router, "me", "", "part 1", "part 2")
		send(t, router, "me", "", "x")
		requireRecv(t, req, "x")
	})
}

// RFC 28, REQ: a request SHALL consist of nothing but a delimiter and data, whoever the peer is.
//
// Differs: a REP of ours gets a request id of four bytes before the delimiter, as with libzmq's ZMQ_REQ_CORRELATE. It is part of the envelope, which
// every REP gives back and no application sees; with it a late reply is told from the one that is waited for, without a new connection.
func TestRFC28_REQ_CorrelatesWithOurs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq()
		raw := rawPeer(t, bound(t, transport, req), "REP", sockettest.Property{Name: "X-Mesh", Value: "1"})
		send(t, req, "1")
		frames := raw.ReadMessage()
		require.Len(t, frames, 3)
		require.Len(t, frames[0], 4)
		require.Equal(t, []string{"", "1"}, frames[1:])
		raw.SendMessage("0000", "", "to another request")
		raw.SendMessage(frames[0], "", "reply")
		requireRecv(t, req, "reply")
		require.EqualValues(t, 1, req.Stats().Dropped[socket.DropUnwanted])
	})
}

// RFC 28, REQ: a reply SHALL begin with a delimiter; one that does not is no reply.
func TestRFC28_REQ_SkipsMalformedReplies(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq()
		raw := rawPeer(t, bound(t, transport, req), "REP")
		send(t, req, "1")
		raw.SendMessage("no delimiter")
		raw.SendMessage("")
		raw.SendMessage("delimiter", "", "not first")
		raw.SendMessage("", "reply")
		requireRecv(t, req, "reply")
		dropped := req.Stats().Dropped
		assert.EqualValues(t, 3, dropped[socket.DropMalformed]+dropped[socket.DropUnwanted])
	})
}

// RFC 28, REQ: SHALL block on sending, or return a suitable error, while it has no connected peers.
// RFC 28, REQ: SHALL NOT discard messages that it cannot send to a connected peer.
// Behaviour 12: REQ without a peer: a try fails at once, Send with a time limit fails after that.
func TestRFC28_REQ_BlocksWithoutPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(swift()), socket.NewRep()
		closing(t, req, rep)
		endpoint := unbound(t, transport)
		connect(t, req, endpoint) // an endpoint is no peer until it is connected
		require.ErrorIs(t, trySend(req, "refused"), socket.ErrNoPeer)
		start := time.Now()
		err := req.Send(soon(t), []byte("refused after a wait"))
		require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
		require.ErrorIs(t, err, socket.ErrNoPeer)
		require.ErrorIs(t, err, socket.ErrTimeout)
		sent := sending(limit(t), req, "waited")
		bind(t, rep, endpoint)
		require.NoError(t, <-sent)
		requireRecv(t, rep, "waited")
		send(t, rep, "reply")
		requireRecv(t, req, "reply")
		requireNothing(t, rep)
	})
}

// RFC 28, REQ: SHALL accept an incoming message only from the last peer that it sent a request to.
// RFC 28, REQ: SHALL discard silently any messages received from other peers.
// Behaviour 13: when all peers answer, only the reply of the one that was asked is returned, also when the others are asked later.
func TestRFC28_REQ_ListensToAskedPeerOnly(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq()
		endpoint := bound(t, transport, req)
		a := rawPeer(t, endpoint, "REP")
		awaitPeers(t, req, 1)
		b := rawPeer(t, endpoint, "REP")
		awaitPeers(t, req, 2)

		b.SendMessage("", "before any request")
		awaitInbox(t, req, 1)
		send(t, req, "1")
		require.Equal(t, []string{"", "1"}, a.ReadMessage())
		b.SendMessage("", "not asked")
		awaitInbox(t, req, 1)
		requireNothing(t, req)
		a.SendMessage("", "reply 1")
		requireRecv(t, req, "reply 1")
		b.SendMessage("", "not asked yet")
		eventually(t, func() bool { return receivedFrom(req) == 4 }, "all four messages have arrived")

		send(t, req, "2")
		require.Equal(t, []string{"", "2"}, b.ReadMessage())
		b.SendMessage("", "reply 2")
		requireRecv(t, req, "reply 2")
		assert.EqualValues(t, 3, req.Stats().Dropped[socket.DropUnwanted])
	})
}

// receivedFrom is how many messages came from the connected peers.
func receivedFrom(s connector) (n uint64) {
	for _, peer := range s.Stats().Peers {
		n += peer.MessagesIn
	}
	return n
}
