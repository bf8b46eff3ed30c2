package conformance

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// asType finds an error of a type in a chain.
func asType[E error](err error) (found E, ok bool) {
	ok = errors.As(err, &found)
	return found, ok
}

// Behaviour 74: of a message of two frames, the receiver sees both, and that they are one message.
func TestBehaviour74_Multipart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router, dealer := socket.NewRouter(), socket.NewDealer(socket.WithIdentity("d"))
		join(t, transport, router, dealer)
		send(t, dealer, "A", "B")
		send(t, dealer, "C")
		requireRecv(t, router, "d", "A", "B")
		requireRecv(t, router, "d", "C")
	})
}

// Behaviour 75: a message knows its sender's socket type, address and application properties (X-...), on a ROUTER too, and keeps knowing them when the sender is gone.
func TestBehaviour75_MetadataOfMessages(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router := socket.NewRouter()
		endpoint := bound(t, transport, router)
		gone := watch(t, router)
		for i := range 3 {
			raw := rawPeer(t, endpoint, "DEALER", sockettest.Property{Name: "Identity", Value: fmt.Sprint("id ", i)}, sockettest.Property{Name: "X-Hello", Value: fmt.Sprint("world ", i)})
			raw.SendMessage("with", "frames")
			address := raw.Conn().LocalAddr().String()
			awaitInbox(t, router, 1)
			raw.Close()
			gone(socket.Disconnected)
			m := recv(t, router)
			peer := m.Peer()
			require.Equal(t, "DEALER", peer.SocketType())
			require.Equal(t, address, peer.Address())
			require.Equal(t, string(m.Frames[0]), peer.Identity())
			hello, ok := peer.Property("x-hello")
			require.True(t, ok)
			require.Equal(t, fmt.Sprint("world ", i), hello)
			_, ok = peer.Property("X-Nothing")
			require.False(t, ok)
		}
	})
}

// Behaviour 82: a program waits on several sockets at once, adds and removes some, and hears of whichever has something.
//
// Differs: there is no poller. A goroutine per socket that passes on what it receives does the same, with select for the rest; the end of a context takes a
// socket out.
func TestBehaviour82_WaitOnSeveralSockets(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		arrived := make(chan string)
		receive := func(s *socket.Pull, done chan error) { // ends when s is closed
			for m, err := range s.Messages(limit(t)) {
				if err != nil {
					done <- err
					return
				}
				arrived <- m.String()
			}
			done <- nil
		}
		var peers []*sockettest.RawPeer
		var pulls []*socket.Pull
		var done []chan error
		for i := range 2 {
			pull := socket.NewPull()
			pulls, done = append(pulls, pull), append(done, make(chan error, 1))
			peers = append(peers, rawPeer(t, bound(t, transport, pull), "PUSH"))
			go receive(pull, done[i])
		}
		for round := range 10 {
			i := round % 2
			peers[i].SendMessage(fmt.Sprint(round))
			select {
			case m := <-arrived:
				require.Equal(t, fmt.Sprint(round), m)
			case <-limit(t).Done():
				require.Fail(t, "nothing arrived")
			}
		}
		require.NoError(t, pulls[0].Close())
		require.NoError(t, <-done[0])
		peers[1].SendMessage("goes on")
		require.Equal(t, "goes on", <-arrived)
	})
}
