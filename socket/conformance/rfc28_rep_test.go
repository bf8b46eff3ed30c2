package conformance

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 28, REP: MAY be connected to any number of REQ or DEALER peers.
// RFC 28, REP: SHALL deliver the reply to the originating peer.
func TestRFC28_REP_AnswersWhoAsked(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		endpoint := bound(t, transport, rep)
		peers := []*sockettest.RawPeer{rawPeer(t, endpoint, "REQ"), rawPeer(t, endpoint, "DEALER"), rawPeer(t, endpoint, "REQ")}
		for round := range 3 {
			for i, raw := range peers {
				raw.SendMessage("", fmt.Sprint("question ", round, i))
				requireRecv(t, rep, fmt.Sprint("question ", round, i))
				send(t, rep, fmt.Sprint("answer ", round, i))
			}
			for i, raw := range peers { // each finds its own replies only
				require.Equal(t, []string{"", fmt.Sprint("answer ", round, i)}, raw.ReadMessage())
			}
		}
	})
}

// RFC 28, REP: SHALL not filter or modify outgoing or incoming messages in any way.
// RFC 28, REP: SHALL pass the remaining data frames to its calling application.
func TestRFC28_REP_PassesAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		raw := rawPeer(t, bound(t, transport, rep), "REQ")
		for _, frames := range oddMessages() {
			raw.SendMessage(append([]string{""}, frames...)...)
			requireRecv(t, rep, frames...)
			send(t, rep, frames...)
			require.Equal(t, append([]string{""}, frames...), raw.ReadMessage())
		}
	})
}

// RFC 28, REP: SHALL receive and then send exactly one message at a time.
// RFC 28, REP: SHALL wait for a single reply message from its calling application.
func TestRFC28_REP_LockStep(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		raw := rawPeer(t, bound(t, transport, rep), "DEALER")
		for i := range 6 {
			raw.SendMessage("", fmt.Sprint(i))
		}
		require.ErrorIs(t, trySend(rep, "no request"), socket.ErrState)
		for i := range 6 {
			requireRecv(t, rep, fmt.Sprint(i))
			_, err := rep.Recv(limit(t))
			require.ErrorIs(t, err, socket.ErrState)
			send(t, rep, "reply", fmt.Sprint(i))
			require.ErrorIs(t, trySend(rep, "second reply"), socket.ErrState)
			require.Equal(t, []string{"", "reply", fmt.Sprint(i)}, raw.ReadMessage())
		}
	})
}

// RFC 28, REP: a request and its reply SHALL consist of an envelope of zero or more identities, an empty delimiter, and one or more frames of data.
// RFC 28, REP: SHALL remove and store the address envelope, including the delimiter.
// RFC 28, REP: SHALL prepend the address envelope and delimiter to the reply.
// Behaviour 15: requests with and without identities before the delimiter deliver the same data, and the reply comes back in the same envelope.
func TestRFC28_REP_Envelope(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		raw := rawPeer(t, bound(t, transport, rep), "DEALER")
		for _, envelope := range [][]string{
			{""}, {"X", ""}, {"X", "Y", ""}, {strings.Repeat("i", 255), "\x00\x01\x02\x03\x04", ""}, append(strings.Split(strings.Repeat("hop,", 99)+"hop", ","), ""),
		} {
			raw.SendMessage(append(envelope, "A", "", "B")...)
			requireRecv(t, rep, "A", "", "B")
			send(t, rep, "R", "", "S")
			require.Equal(t, append(envelope, "R", "", "S"), raw.ReadMessage())
		}
	})
}

// RFC 28, REP: a request SHALL have a delimiter and data; what has not is no request.
func TestRFC28_REP_SkipsMalformedRequests(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		raw := rawPeer(t, bound(t, transport, rep), "DEALER")
		raw.SendMessage("no delimiter")
		raw.SendMessage("")
		raw.SendMessage("X", "Y", "")
		raw.SendMessage("", "request")
		requireRecv(t, rep, "request")
		require.EqualValues(t, 3, rep.Stats().Dropped[socket.DropMalformed])
	})
}

// RFC 28, REP: SHALL receive requests from its peers with a fair-queuing strategy.
// Behaviour 14: several peers that ask again and again are all served.
func TestRFC28_REP_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep(socket.WithRecvHWM(10), socket.WithSendHWM(10), socket.WithLinger(0))
		endpoint := bound(t, transport, rep)
		eager := rawPeer(t, endpoint, "DEALER") // asks on and on, and reads no reply
		const size = 20 << 10
		request := append(binary.BigEndian.AppendUint64([]byte{1, 0, 2}, size), make([]byte, size)...)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer eager.Close()
		wg.Go(func() {
			for _, err := eager.Conn().Write(request); err == nil; _, err = eager.Conn().Write(request) {
			}
		})
		peers := []*sockettest.RawPeer{named(t, endpoint, "REQ", "0"), named(t, endpoint, "REQ", "1"), named(t, endpoint, "REQ", "2")}
		awaitPeers(t, rep, 4)
		for range 5 {
			for i, raw := range peers {
				raw.SendMessage("", fmt.Sprint(i))
				eventually(t, func() bool { return inboxOf(rep, fmt.Sprint(i)) == 1 }, "the request of peer %d", i)
			}
			waiting := len(peers)
			for i := 0; waiting > 0; i++ {
				require.LessOrEqual(t, i, len(peers)+4*13, "a turn is one read, which holds at most 13 of these requests")
				if m := recv(t, rep); m.Size() < size {
					waiting--
				}
				send(t, rep, "reply")
			}
			for _, raw := range peers {
				require.Equal(t, []string{"", "reply"}, raw.ReadMessage())
			}
		}
	})
}

// RFC 28, REP: SHALL silently discard the reply, or return an error, if the originating peer is no longer connected.
func TestRFC28_REP_DiscardsReplyToLostPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep()
		endpoint := bound(t, transport, rep)
		raw := rawPeer(t, endpoint, "REQ", sockettest.Property{Name: "Identity", Value: "same"})
		raw.SendMessage("", "1")
		requireRecv(t, rep, "1")
		gone := watch(t, rep)
		raw.Close()
		gone(socket.Disconnected)
		raw = rawPeer(t, endpoint, "REQ", sockettest.Property{Name: "Identity", Value: "same"}) // and yet another peer
		awaitPeers(t, rep, 1)
		send(t, rep, "too late")
		require.EqualValues(t, 1, rep.Stats().Dropped[socket.DropPeerGone])
		raw.SendMessage("", "2")
		requireRecv(t, rep, "2")
		send(t, rep, "in time")
		require.Equal(t, []string{"", "in time"}, raw.ReadMessage())
	})
}

// RFC 28, REP: SHALL not block on sending.
func TestRFC28_REP_NeverBlocks(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep := socket.NewRep(socket.WithSendHWM(1), socket.WithLinger(0))
		raw := rawPeer(t, bound(t, transport, rep), "DEALER")
		reply := strings.Repeat("r", 256<<10)
		for i := 0; rep.Stats().Dropped[socket.DropFull] == 0; i++ {
			require.Less(t, i, 1000, "the peer does not read: its queue must be full some time")
			raw.SendMessage("", "request")
			requireRecv(t, rep, "request")
			send(t, rep, reply)
		}
	})
}
