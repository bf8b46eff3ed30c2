package socket_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 28: REQ and REP keep to send and receive in turn; a call out of turn is an error that says whose turn it is.
func TestRFC28_ReqRepTakeTurns(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(), socket.NewRep()
		join(t, transport, rep, req)
		_, err := req.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorContains(t, err, "Send first")
		err = rep.Send(limit(t), text("x"))
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorContains(t, err, "Recv first")

		send(t, req, "question", "")
		err = req.Send(limit(t), text("another"))
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorContains(t, err, "Recv first")
		requireMsg(t, recv(t, rep), "question", "")
		_, err = rep.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorContains(t, err, "Send first")
		send(t, rep, "", "answer")
		requireMsg(t, recv(t, req), "", "answer")
		_, err = req.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrState)
		require.ErrorIs(t, rep.Send(limit(t), text("x")), socket.ErrState)
	})
}

// RFC 28: a REQ routes requests to its peers in turn.
func TestRFC28_ReqRoundRobin(t *testing.T) {
	t.Parallel()
	req := socket.NewReq()
	closing(t, req)
	served := make([]int, 3)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range served {
		rep := socket.NewRep()
		closing(t, rep)
		require.NoError(t, req.Connect(bind(t, rep, "tcp://127.0.0.1:0")))
		wg.Go(func() {
			for range 10 {
				recv(t, rep)
				served[i]++
				send(t, rep, "ok")
			}
		})
	}
	require.NoError(t, req.WaitPeers(limit(t), len(served)))
	for range 10 * len(served) {
		_, err := req.Request(limit(t), text("x"))
		require.NoError(t, err)
	}
	wg.Wait()
	assert.Equal(t, []int{10, 10, 10}, served)
}

// After a timeout the next request works, and the late reply to the one before is not taken for its own: a peer of ours gives the id of
// the request back.
func TestReq_TimeoutThenNext(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(), socket.NewRep()
		join(t, transport, rep, req)
		require.NoError(t, req.WaitPeers(limit(t), 1))
		for i := range 5 {
			_, err := req.Request(soon(t), text("slow"))
			require.ErrorIs(t, err, socket.ErrTimeout)
			done := make(chan error)
			go func() {
				m, err := req.Request(limit(t), text("next"))
				assert.Equal(t, "late no more", m.String())
				done <- err
			}()
			requireMsg(t, recv(t, rep), "slow")
			send(t, rep, "late")
			requireMsg(t, recv(t, rep), "next")
			send(t, rep, "late no more")
			require.NoError(t, <-done)
			assert.EqualValues(t, i+1, req.Stats().Dropped[socket.DropUnwanted])
		}
		assert.Zero(t, req.Stats().Peers[0].Reconnects, "the connection was kept")
	})
}

// A ROUTER cannot be counted on to give an id back, so the next request goes over a fresh connection, on which no late reply comes.
func TestReq_TimeoutThenNextWithRouter(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, router := socket.NewReq(socket.WithIdentity("me")), socket.NewRouter()
		join(t, transport, router, req)
		require.NoError(t, req.WaitPeers(limit(t), 1))
		_, err := req.Request(soon(t), text("slow"))
		require.ErrorIs(t, err, socket.ErrTimeout)
		requireMsg(t, recv(t, router), "me", "", "slow")
		send(t, router, "me", "", "late")
		done := make(chan error)
		go func() {
			m, err := req.Request(limit(t), text("next"))
			assert.Equal(t, "answer", m.String())
			done <- err
		}()
		requireMsg(t, recv(t, router), "me", "", "next")
		send(t, router, "me", "", "answer")
		require.NoError(t, <-done)
		require.Eventually(t, func() bool { return req.Stats().Peers[0].Reconnects == 1 }, sockettest.Timeout, time.Millisecond)
	})
}

// When ctx ends Recv, the same reply can still be waited for.
func TestReq_RecvAgain(t *testing.T) {
	t.Parallel()
	req, rep := socket.NewReq(), socket.NewRep()
	join(t, "tcp", rep, req)
	send(t, req, "q")
	for range 3 {
		_, err := req.Recv(try())
		require.ErrorIs(t, err, context.Canceled)
	}
	recv(t, rep)
	send(t, rep, "a")
	requireMsg(t, recv(t, req), "a")
}

// The end of the peer that was asked ends the wait at once, and the request with it; the next one works.
func TestReq_PeerGone(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req := socket.NewReq(swift())
		closing(t, req)
		endpoint := ""
		for i := range 5 {
			rep := socket.NewRep(socket.WithLinger(0))
			if i == 0 {
				endpoint = bind(t, rep, fresh(t, transport))
				require.NoError(t, req.Connect(endpoint))
			} else {
				bind(t, rep, endpoint)
			}
			done := make(chan error)
			go func() {
				_, err := req.Request(context.Background(), text("q"))
				done <- err
			}()
			recv(t, rep)
			require.NoError(t, rep.Close())
			err := <-done
			require.ErrorIs(t, err, socket.ErrPeerGone)
			_, err = req.Recv(limit(t))
			require.ErrorIs(t, err, socket.ErrState, "the request is over")
		}
		// Gone while nobody waits is told to the next Recv.
		rep := socket.NewRep()
		bind(t, rep, endpoint)
		send(t, req, "q")
		recv(t, rep)
		require.NoError(t, rep.Close())
		_, err := req.Recv(limit(t))
		require.ErrorIs(t, err, socket.ErrPeerGone)
		err = req.Send(soon(t), text("q"))
		require.ErrorIs(t, err, socket.ErrNoPeer, "REQ queues for connected peers only")
	})
}

// A Send that waits for a peer holds up neither the end of another nor calls with a limit of their own.
func TestReq_WaitingSend(t *testing.T) {
	t.Parallel()
	req := socket.NewReq(swift())
	closing(t, req)
	endpoint := unused(t)
	require.NoError(t, req.Connect(endpoint))
	sent := make(chan error)
	go func() { sent <- req.Send(limit(t), text("q")) }()
	require.Eventually(t, func() bool {
		err := req.Send(try(), text("other"))
		return assert.Error(t, err) && assert.ErrorIs(t, err, context.Canceled) && err.Error() == "send: another request is under way: context canceled"
	}, sockettest.Timeout, time.Millisecond)
	_, err := req.Recv(soon(t))
	require.ErrorIs(t, err, socket.ErrState)
	rep := socket.NewRep()
	closing(t, rep)
	bind(t, rep, endpoint)
	require.NoError(t, <-sent)
	requireMsg(t, recv(t, rep), "q")
}

// ZMQ_REQ_RELAXED: the next request may be sent before the reply; only its own reply is taken.
func TestReq_Relaxed(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(socket.WithRelaxed()), socket.NewRep()
		join(t, transport, rep, req)
		for i := range 10 {
			send(t, req, fmt.Sprint(i))
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for range 10 {
				m := recv(t, rep)
				send(t, rep, m.String())
			}
		})
		requireMsg(t, recv(t, req), "9")
	})
}

// ZMQ_REQ_CORRELATE: a 4-byte id before the delimiter, towards every peer; a reply without it is not the reply. Without the option a peer
// that is not ours is sent the plain envelope of RFC 28.
func TestReq_Correlate(t *testing.T) {
	t.Parallel()
	ln, endpoint := sockettest.Listen(t)
	for _, correlate := range []bool{false, true} {
		var opts []socket.Option
		if correlate {
			opts = append(opts, socket.WithCorrelate())
		}
		req := socket.NewReq(opts...)
		closing(t, req)
		require.NoError(t, req.Connect(endpoint))
		raw := sockettest.AcceptRaw(t, ln)
		raw.Handshake("REP", 1)
		send(t, req, "q")
		m := raw.ReadMessage()
		if !correlate {
			require.Equal(t, []string{"", "q"}, m)
			raw.SendMessage("no delimiter")
			raw.SendMessage("extra", "", "a")
			raw.SendMessage("", "a")
			requireMsg(t, recv(t, req), "a")
			assert.Equal(t, map[socket.DropReason]uint64{socket.DropMalformed: 1, socket.DropUnwanted: 1}, req.Stats().Dropped)
			continue
		}
		require.Len(t, m, 3)
		require.Len(t, m[0], 4)
		raw.SendMessage("", "a")
		raw.SendMessage("wrng", "", "a")
		raw.SendMessage(m[0], "", "b")
		requireMsg(t, recv(t, req), "b")
		assert.EqualValues(t, 2, req.Stats().Dropped[socket.DropUnwanted])
	}
}

// Request is for goroutines that share a socket: each gets the reply to its own.
func TestReq_ConcurrentRequests(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(), socket.NewRep()
		join(t, transport, rep, req)
		var server, clients sync.WaitGroup
		server.Go(func() {
			for m, err := range rep.Messages(context.Background()) {
				assert.NoError(t, err)
				if err := rep.Send(limit(t), m.Frames...); err != nil { // a request that was given up, at the end
					assert.ErrorIs(t, err, socket.ErrClosed)
				}
			}
		})
		for g := range 10 {
			clients.Go(func() {
				for i := range 50 {
					name := fmt.Sprintf("%d/%d", g, i)
					ctx := limit(t)
					if i%10 == 9 {
						ctx = shortly(t, time.Duration(i)*time.Microsecond)
					}
					if m, err := req.Request(ctx, text(name)); err == nil {
						assert.Equal(t, name, m.String())
					} else {
						assert.ErrorIs(t, err, socket.ErrTimeout)
						assert.Equal(t, 9, i%10)
					}
				}
			})
		}
		clients.Wait()
		require.NoError(t, rep.Close())
		server.Wait()
	})
}

// RFC 28: a REP gives the whole envelope back, however many hops it tells of; what has no envelope or no body is dropped and counted.
func TestRFC28_RepEnvelope(t *testing.T) {
	t.Parallel()
	rep := socket.NewRep()
	closing(t, rep)
	raw := sockettest.DialRaw(t, bind(t, rep, "tcp://127.0.0.1:0"))
	raw.Handshake("DEALER", 1)
	for _, envelope := range [][]string{{""}, {"hop", ""}, {"a", "b", "c", "d", ""}} {
		raw.SendMessage("no envelope")
		raw.SendMessage(envelope...) // no body
		raw.SendMessage(append(envelope, "body", "", "more")...)
		requireMsg(t, recv(t, rep), "body", "", "more")
		send(t, rep, "reply", "")
		require.Equal(t, append(envelope, "reply", ""), raw.ReadMessage())
	}
	assert.EqualValues(t, 6, rep.Stats().Dropped[socket.DropMalformed])
}

// A REP returns no request that is larger than what it may send, so that an echo never fails: the room for envelopes is not for bodies.
func TestRepRequestNoLargerThanReply(t *testing.T) {
	t.Parallel()
	rep := socket.NewRep(socket.WithMaxFrames(3), socket.WithMaxMessageSize(16))
	closing(t, rep)
	raw := sockettest.DialRaw(t, bind(t, rep, "tcp://127.0.0.1:0"))
	raw.Handshake("DEALER", 1)
	raw.SendMessage("", "1", "2", "3", "4")
	raw.SendMessage("", "seventeen bytes..")
	raw.SendMessage("", "1", "2", "3")
	m := recv(t, rep)
	requireMsg(t, m, "1", "2", "3")
	send(t, rep, "1", "2", "3")
	require.Equal(t, []string{"", "1", "2", "3"}, raw.ReadMessage())
	assert.EqualValues(t, 2, rep.Stats().Dropped[socket.DropMalformed])
}

// RFC 28: a REP discards a reply to a peer that is gone; here it is counted, and the next request can be received.
func TestRFC28_ReplyToLostPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		closing(t, rep)
		endpoint := bind(t, rep, fresh(t, transport))
		for i := range 3 {
			req := socket.NewReq()
			require.NoError(t, req.Connect(endpoint))
			send(t, req, "q")
			recv(t, rep)
			await := watch(t, rep)
			require.NoError(t, req.Close())
			await(socket.Disconnected)
			require.NoError(t, rep.Send(limit(t), text("a")))
			assert.EqualValues(t, i+1, rep.Stats().Dropped[socket.DropPeerGone])
		}
	})
}
