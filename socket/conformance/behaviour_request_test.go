package conformance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// relaxed is a REQ that may ask again, and two ROUTERs that it asks.
func relaxed(t *testing.T, transport string) (req *socket.Req, servers []*socket.Router) {
	t.Helper()
	req = socket.NewReq(socket.WithRelaxed(), socket.WithCorrelate(), socket.WithIdentity("Q"))
	closing(t, req)
	servers = []*socket.Router{socket.NewRouter(), socket.NewRouter()}
	for i, server := range servers {
		connect(t, req, bound(t, transport, server))
		awaitPeers(t, req, i+1)
	}
	return req, servers
}

// answer has a server take the next request and answer it.
func answer(t *testing.T, server *socket.Router, request, reply string) {
	t.Helper()
	m := recv(t, server)
	require.Equal(t, request, m.String())
	require.Len(t, m.Frames, 4, "id of the peer, id of the request, delimiter, body")
	require.NoError(t, server.Send(limit(t), append(m.Frames[:3], []byte(reply))...))
}

// Behaviour 27: a relaxed REQ may send again before the reply; the reply to the first request is discarded, that to the second returned.
func TestBehaviour27_ReqRelaxedLateReply(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, servers := relaxed(t, transport)
		send(t, req, "first")
		send(t, req, "second")
		answer(t, servers[0], "first", "late")
		eventually(t, func() bool {
			peers := req.Stats().Peers
			return peers[0].MessagesIn+peers[1].MessagesIn == 1
		})
		answer(t, servers[1], "second", "right")
		requireRecv(t, req, "right")
		assert.EqualValues(t, 1, req.Stats().Dropped[socket.DropUnwanted])
	})
}

// Behaviour 28: a reply that waits to be received is discarded when a relaxed REQ sends again.
func TestBehaviour28_ReqRelaxedQueuedReply(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, servers := relaxed(t, transport)
		send(t, req, "first")
		answer(t, servers[0], "first", "unread")
		awaitInbox(t, req, 1)
		send(t, req, "second")
		answer(t, servers[1], "second", "right")
		requireRecv(t, req, "right")
	})
}

// Behaviour 29: sending again does not close the connection to the peer asked before, so that peers keep their turns.
//
// Differs: without WithCorrelate, a peer that is not a meshmq REP gets a fresh connection instead: nothing else tells its
// late reply from the next one.
func TestBehaviour29_ReqRelaxedKeepsPeers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, servers := relaxed(t, transport)
		for i := range 10 {
			send(t, req, fmt.Sprint(i))
		}
		for i := range 10 {
			require.Equal(t, fmt.Sprint(i), recv(t, servers[i%2]).String())
		}
		for _, peer := range req.Stats().Peers {
			assert.True(t, peer.Connected)
			assert.Zero(t, peer.Reconnects)
		}
	})
}

// Behaviour 30: of requests sent before there is a server, only the reply to the last is returned.
//
// Differs: a REQ asks connected peers only, so that earlier ones fail, and the last waits for the server.
func TestBehaviour30_ReqRelaxedBeforeServer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq(socket.WithRelaxed(), socket.WithCorrelate(), socket.WithIdentity("Q"), swift())
		closing(t, req)
		endpoint := unbound(t, transport)
		connect(t, req, endpoint)
		require.ErrorIs(t, trySend(req, "first"), socket.ErrNoPeer)
		require.ErrorIs(t, trySend(req, "second"), socket.ErrNoPeer)
		sent := make(chan error, 1)
		go func() { sent <- req.Send(limit(t), []byte("third")) }()
		server := socket.NewRouter()
		closing(t, server)
		bind(t, server, endpoint)
		require.NoError(t, <-sent)
		answer(t, server, "third", "right")
		requireRecv(t, req, "right")
		requireNothing(t, server)
	})
}

// Behaviour 31: a REQ that correlates sends a request id of 4 bytes before the delimiter, and takes a reply with this id only.
func TestBehaviour31_ReqCorrelate(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, router := socket.NewReq(socket.WithCorrelate(), socket.WithIdentity("Q")), socket.NewRouter()
		join(t, transport, router, req)
		for range 3 {
			send(t, req, "question")
			m := recv(t, router)
			require.Len(t, m.Frames, 4)
			require.Len(t, m.Frames[1], 4)
			require.Empty(t, m.Frames[2])
			wrong := append([]byte(nil), m.Frames[1]...)
			wrong[0] ^= 1
			send(t, router, "Q", string(wrong), "", "wrong id")
			send(t, router, "Q", "", "no id")
			send(t, router, "Q", string(m.Frames[1]), "", "right id")
			requireRecv(t, req, "right id")
		}
		assert.EqualValues(t, 6, req.Stats().Dropped[socket.DropUnwanted])
	})
}

// Behaviour 32: a malformed reply of a ROUTER is skipped, and the valid one behind it returned.
func TestBehaviour32_InvalidReply(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, router := socket.NewReq(socket.WithIdentity("Q")), socket.NewRouter()
		join(t, transport, router, req)
		send(t, req, "question")
		requireRecv(t, router, "Q", "", "question")
		send(t, router, "Q", "no delimiter")
		send(t, router, "Q", "")
		send(t, router, "Q", "", "valid")
		requireRecv(t, req, "valid")
		assert.EqualValues(t, 2, req.Stats().Dropped[socket.DropMalformed])
	})
}
