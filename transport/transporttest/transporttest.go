package transporttest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/meshmq/meshmq/transport"
)

// patience is how long a call may take that should return at once: long enough for a busy machine.
const patience = 20 * time.Second

// Run tests the transport of the endpoints that bind returns. Each must be free to be bound, and none may be
// returned twice unless its address is chosen by the transport.
func Run(t *testing.T, bind func(t testing.TB) string) {
	k := kit{bind: bind, config: &transport.Config{}}
	k.run(t)
	t.Run("DeadlineWakesWrite", func(t *testing.T) { t.Parallel(); k.testDeadlineWakesWrite(t) })
	t.Run("NetTest", func(t *testing.T) { nettest.TestConn(t, k.makePipe(t)) })
}

// RunFramed is Run for a transport whose conns take ZMTP only, with the Config that it needs. A Write that was cut short by
// its deadline need not leave them usable, so what Run demands of that is left out, and nettest, which does so too.
func RunFramed(t *testing.T, config *transport.Config, bind func(t testing.TB) string) {
	kit{bind: bind, config: config, framed: true}.run(t)
}

func (k kit) run(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Echo", k.testEcho},
		{"LargeTransferBothWays", k.testLargeTransfer},
		{"ConcurrentWritesStayWhole", k.testConcurrentWrites},
		{"DeadlineWakesRead", k.testDeadlineWakesRead},
		{"DeadlineKeepsData", k.testDeadlineKeepsData},
		{"PeerReadsAllThenEOF", k.testPeerReadsAll},
		{"CloseWrite", k.testCloseWrite},
		{"CloseWakesReadAndWrite", k.testCloseWakes},
		{"WriteToClosedPeerFails", k.testWriteToClosedPeer},
		{"ListenerCloseWakesAccept", k.testListenerClose},
		{"ListenerCloseKeepsConns", k.testListenerCloseKeepsConns},
		{"BacklogEndsWithListener", k.testBacklog},
		{"RebindAtOnce", k.testRebind},
		{"AddressInUse", k.testAddressInUse},
		{"RealAddress", k.testRealAddress},
		{"DialCancelled", k.testDialCancelled},
		{"DialReleasedAddressFails", k.testDialReleased},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

type kit struct {
	bind   func(testing.TB) string
	config *transport.Config
	framed bool
}

// listen binds a fresh endpoint for the length of the test.
func (k kit) listen(t testing.TB) transport.Listener {
	t.Helper()
	return k.listenAt(t, k.bind(t))
}

func (k kit) listenAt(t testing.TB, endpoint string) transport.Listener {
	t.Helper()
	ln, err := k.tryListen(endpoint)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (k kit) tryListen(endpoint string) (transport.Listener, error) {
	e, err := transport.ParseBind(endpoint)
	if err != nil {
		return nil, err
	}
	return k.config.Listen(context.Background(), e)
}

func (k kit) dial(ctx context.Context, endpoint string) (net.Conn, error) {
	e, err := transport.ParseConnect(endpoint)
	if err != nil {
		return nil, err
	}
	return k.config.Dial(ctx, e)
}

// connect returns both ends of a connection to ln, which live as long as the test.
func (k kit) connect(t testing.TB, ln transport.Listener) (dialled, accepted net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialled, err := k.dial(ctx, ln.Endpoint())
	require.NoError(t, err)
	t.Cleanup(func() { dialled.Close() })
	accepted, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	if k.framed {
		return frame(t, dialled, accepted)
	}
	return dialled, accepted
}

// pair returns both ends of a connection to a listener of its own. A call that hangs fails the test by its
// deadline; tests that set deadlines themselves end by go test's.
func (k kit) pair(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	dialled, accepted = k.connect(t, k.listen(t))
	for _, conn := range []net.Conn{dialled, accepted} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	}
	return dialled, accepted
}

// makePipe is pair for nettest, which sets its own deadlines and closes the conns itself.
func (k kit) makePipe(t testing.TB) nettest.MakePipe {
	return func() (dialled, accepted net.Conn, stop func(), err error) {
		ln, err := k.tryListen(k.bind(t))
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		if dialled, err = k.dial(context.Background(), ln.Endpoint()); err != nil {
			return nil, nil, nil, err
		}
		if accepted, err = ln.Accept(); err != nil {
			dialled.Close()
			return nil, nil, nil, err
		}
		stop = func() {
			dialled.Close()
			accepted.Close()
		}
		return dialled, accepted, stop, nil
	}
}
