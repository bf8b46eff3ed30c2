package conformance

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Behaviour 77: a malformed network is refused as an accept filter; a peer whose address is in none of the networks is refused before the handshake,
// one whose address is in one of them is served.
func TestBehaviour77_AcceptFrom(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "foo", "127.0.0.1/", "127.0.0.1/33", "127.0.0.1/-1", "::1/129", "300.0.0.1", "127.0.0.1 "} {
		s := socket.NewRep(socket.WithAcceptFrom(network))
		_, err := s.Bind("tcp://127.0.0.1:0")
		require.ErrorIs(t, err, socket.ErrOption, network)
		require.NoError(t, s.Close())
	}
	for _, c := range []struct {
		networks []string
		accepted bool
	}{
		{[]string{"127.0.0.0/8"}, true}, {[]string{"127.0.0.1"}, true}, {[]string{"10.0.0.0/8", "127.0.0.1/32"}, true}, {[]string{"0.0.0.0/0"}, true},
		{[]string{"127.0.0.2"}, false}, {[]string{"192.0.2.0/24"}, false}, {[]string{"::1"}, false},
	} {
		t.Run(fmt.Sprint(c.networks), func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAcceptFrom(c.networks...))
			refused := watch(t, pull)
			raw := dialRaw(t, bound(t, "tcp", pull))
			if !c.accepted {
				require.Empty(t, raw.ExpectClosed(), "not even a greeting")
				require.ErrorIs(t, refused(socket.HandshakeFailed).Err, socket.ErrRefused)
				return
			}
			raw.Handshake("PUSH", 1)
			raw.SendMessage("hello")
			requireRecv(t, pull, "hello")
		})
	}
}

// Behaviour 77: when the filter is lifted, those that it kept out come in.
func TestBehaviour77_LiftedFilter(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		var closed atomic.Bool
		closed.Store(true)
		pull, push := socket.NewPull(socket.WithAcceptFilter(func(socket.Candidate) error {
			if closed.Load() {
				return errors.New("come back later")
			}
			return nil
		})), socket.NewPush(swift())
		endpoint := bound(t, transport, pull)
		refused := watch(t, pull)
		closing(t, push)
		connect(t, push, endpoint)
		for range 3 {
			require.ErrorContains(t, refused(socket.HandshakeFailed).Err, "come back later")
		}
		send(t, push, "let me in")
		closed.Store(false)
		requireRecv(t, pull, "let me in")
	})
}

// Behaviour 78: a listener that was made elsewhere serves REQ and REP, and PAIR.
func TestBehaviour78_AdoptedListener(t *testing.T) {
	t.Parallel()
	adopted := func(t *testing.T, s interface {
		connector
		BindListener(net.Listener) (string, error)
	}) (endpoint string) {
		t.Helper()
		ln, want := sockettest.Listen(t)
		closing(t, s)
		endpoint, err := s.BindListener(ln)
		require.NoError(t, err)
		require.Equal(t, want, endpoint)
		return endpoint
	}
	t.Run("REQ and REP", func(t *testing.T) {
		t.Parallel()
		rep, req := socket.NewRep(), socket.NewReq()
		endpoint := adopted(t, rep)
		closing(t, req)
		connect(t, req, endpoint)
		for range 3 {
			send(t, req, "question")
			requireRecv(t, rep, "question")
			send(t, rep, "answer")
			requireRecv(t, req, "answer")
		}
		require.NoError(t, rep.Unbind(endpoint))
		ln, err := net.Listen("tcp", endpoint[len("tcp://"):])
		require.NoError(t, err, "the listener was closed")
		require.NoError(t, ln.Close())
	})
	t.Run("PAIR", func(t *testing.T) {
		t.Parallel()
		a, b := socket.NewPair(), socket.NewPair()
		endpoint := adopted(t, a)
		closing(t, b)
		connect(t, b, endpoint)
		send(t, b, "there")
		requireRecv(t, a, "there")
		send(t, a, "and back")
		requireRecv(t, b, "and back")
	})
}

// Behaviour 78: a connection that was made elsewhere serves too.
func TestBehaviour78_AdoptedConnection(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	req, rep := socket.NewReq(), socket.NewRep()
	closing(t, req, rep)
	require.NoError(t, req.Attach(here))
	require.NoError(t, rep.Attach(there))
	for range 3 {
		send(t, req, "question")
		requireRecv(t, rep, "question")
		send(t, rep, "answer")
		requireRecv(t, req, "answer")
	}
}
