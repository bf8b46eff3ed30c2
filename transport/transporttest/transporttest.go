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
	k := kit{bind: bind}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Echo", k.testEcho},
		{"LargeTransferBothWays", k.testLargeTransfer},
		{"ConcurrentWritesStayWhole", k.testConcurrentWrites},
		{"DeadlineWakesRead", k.testDeadlineWakesRead},
		{"DeadlineKeepsData", k.testDeadlineKeepsData},
		{"DeadlineWakesWrite", k.testDeadlineWakesWrite},
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
	t.Run("NetTest", func(t *testing.T) { nettest.TestConn(t, k.makePipe(t)) })
}

type kit struct{ bind func(testing.TB) string }

// listen binds a fresh endpoint for the length of the test.
func (k kit) listen(t testing.TB) transport.Listener {
	t.Helper()
	return listenAt(t, k.bind(t))
}

func listenAt(t testing.TB, endpoint string) transport.Listener {
	t.Helper()
	ln, err := listen(endpoint)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func listen(endpoint string) (transport.Listener, error) {
	e, err := transport.ParseBind(endpoint)
	if err != nil {
		return nil, err
	}
	return e.Listen(context.Background())
}

func dial(ctx context.Context, endpoint string) (net.Conn, error) {
	e, err := transport.ParseConnect(endpoint)
	if err != nil {
		return nil, err
	}
	return e.Dial(ctx)
}

// connect returns both ends of a connection to ln, which live as long as the test.
func connect(t testing.TB, ln transport.Listener) (dialled, accepted net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialled, err := dial(ctx, ln.Endpoint())
	require.NoError(t, err)
	t.Cleanup(func() { dialled.Close() })
	accepted, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return dialled, accepted
}

// pair returns both ends of a connection to a listener of its own. A call that hangs fails the test by its
// deadline; tests that set deadlines themselves end by go test's.
func (k kit) pair(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	dialled, accepted = connect(t, k.listen(t))
	for _, conn := range []net.Conn{dialled, accepted} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	}
	return dialled, accepted
}

// makePipe is pair for nettest, which sets its own deadlines and closes the conns itself.
func (k kit) makePipe(t testing.TB) nettest.MakePipe {
	return func() (dialled, accepted net.Conn, stop func(), err error) {
		ln, err := listen(k.bind(t))
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		if dialled, err = dial(context.Background(), ln.Endpoint()); err != nil {
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
