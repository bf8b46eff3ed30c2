package socket_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// quick makes reconnecting quick.
var quick = socket.WithReconnect(time.Millisecond, 20*time.Millisecond)

// What is sent while a libzmq peer is away waits for it, whole and in order.
func TestInteropQueueOutlivesPeer(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) {
			pull := process.open(t, "PULL", nil)
			endpoint := pull.bind(freshEndpoint(t, transport))
			push := openOwn(t, "PUSH", quick)
			push.connect(endpoint)
			sendNumbers(push, 0, 100)
			requireNumbers(t, pull, 0, 100)

			pull.close()
			push.awaitEvent(socket.Disconnected)
			sendNumbers(push, 100, 600)
			again := process.open(t, "PULL", nil)
			t.Cleanup(again.close)
			again.bind(endpoint)
			requireNumbers(t, again, 100, 600)
			peers := push.Stats().Peers
			require.Len(t, peers, 1)
			require.EqualValues(t, 1, peers[0].Reconnects)
		})
	}
}

func sendNumbers(to end, from, until int) {
	for i := from; i < until; i++ {
		to.send([]byte(strconv.Itoa(i)))
	}
}

func requireNumbers(t *testing.T, at end, from, until int) {
	t.Helper()
	for i := from; i < until; i++ {
		requireFrames(t, frames(strconv.Itoa(i)), at.recv())
	}
}

// number returns the number that a message of sendNumbers carries.
func number(t *testing.T, message [][]byte) int {
	t.Helper()
	n, err := strconv.Atoi(string(message[0]))
	require.NoError(t, err)
	return n
}

// A libzmq PULL goes and returns while messages flow: what was on its way is lost with the connection,
// nothing comes twice or out of order, and the flow goes on.
func TestInteropPullRestartsMidTraffic(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := process.open(t, "PULL", nil)
	endpoint := pull.bind(freshEndpoint(t, "tcp"))
	push := socket.NewPush(quick)
	defer push.Close()
	require.NoError(t, push.Connect(endpoint))
	ctx, stop := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := push.Send(ctx, []byte(strconv.Itoa(i))); err != nil {
				sent <- err
				return
			}
		}
	}()
	last := -1
	for range 3 {
		for range 300 {
			n := number(t, pull.recv())
			require.Greater(t, n, last)
			last = n
		}
		pull.close()
		pull = process.open(t, "PULL", nil)
		pull.bind(endpoint)
	}
	stop()
	require.ErrorIs(t, <-sent, context.Canceled, "only our own cancelling ends Send")
	pull.close()
}

// A libzmq PUSH that goes is no error of Recv, and one that returns is heard again.
func TestInteropPushRestarts(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := openOwn(t, "PULL", quick)
	endpoint := ""
	for life := range 3 {
		push := process.open(t, "PUSH", nil)
		if life == 0 {
			endpoint = push.bind(freshEndpoint(t, "tcp"))
			pull.connect(endpoint)
		} else {
			push.bind(endpoint)
		}
		sendNumbers(push, 0, 200)
		requireNumbers(t, pull, 0, 200) // Recv is under way while the peer leaves and comes, and must not fail
		push.close()
	}
}

// libzmq finds our socket again after we were away.
func TestInteropWeRestart(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := openOwn(t, "PULL")
	endpoint := pull.bind(freshEndpoint(t, "tcp"))
	push := process.open(t, "PUSH", options{"RECONNECT_IVL": 10})
	t.Cleanup(push.close)
	push.connect(endpoint)
	sendNumbers(push, 0, 100)
	requireNumbers(t, pull, 0, 100)
	require.NoError(t, pull.Close())

	pull = openOwn(t, "PULL")
	pull.bind(endpoint)
	pull.waitPeers(1)
	sendNumbers(push, 100, 200)
	requireNumbers(t, pull, 100, 200)
}

// RFC 29: a SUB subscribes again when its publisher returns; no high-water mark applies to that.
func TestInteropSubscriptionsOutlivePublisher(t *testing.T) {
	t.Parallel()
	const n = 3000 // three times the default high-water mark
	topic := func(i int) string { return fmt.Sprintf("topic-%04d.", i) }
	process := startLibzmq(t)
	xpub := process.open(t, "XPUB", nil)
	endpoint := xpub.bind(freshEndpoint(t, "tcp"))
	sub := openOwn(t, "SUB", quick)
	for i := range n {
		sub.subscribe(topic(i))
	}
	sub.connect(endpoint)
	for range 2 {
		seen := make([]string, n)
		for i := range seen {
			seen[i] = string(xpub.recv()[0])
		}
		slices.Sort(seen)
		for i := range seen {
			require.Equal(t, "\x01"+topic(i), seen[i])
		}
		xpub.send([]byte(topic(n - 1)))
		requireFrames(t, frames(topic(n-1)), sub.recv())
		xpub.close()
		xpub = process.open(t, "XPUB", nil)
		xpub.bind(endpoint)
	}
	xpub.close()
}

// The same with the parts exchanged: our PUB returns, and libzmq's SUB tells it everything again.
func TestInteropPublisherRestarts(t *testing.T) {
	t.Parallel()
	const n = 900
	process := startLibzmq(t)
	// With a limit libzmq forgets topics when it tells them again (its issue 2258).
	sub := process.open(t, "SUB", options{"RECONNECT_IVL": 10, "SNDHWM": 0})
	t.Cleanup(sub.close)
	for i := range n {
		sub.subscribe(fmt.Sprintf("topic-%03d", i))
	}
	pub := openOwn(t, "PUB")
	endpoint := pub.bind(freshEndpoint(t, "tcp"))
	sub.connect(endpoint)
	for life := range 2 {
		if life > 0 {
			require.NoError(t, pub.Close())
			pub = openOwn(t, "PUB")
			pub.bind(endpoint)
		}
		for i := range n {
			pub.waitSubscriber(fmt.Sprintf("topic-%03d", i), sub)
		}
		for i := range n {
			pub.send([]byte(fmt.Sprintf("topic-%03d", i)))
			pub.send([]byte("nobody asked for this"))
			requireFrames(t, frames(fmt.Sprintf("topic-%03d", i)), sub.recv())
		}
	}
}

// counterparts has a libzmq type for each of ours.
var counterparts = map[string]string{
	"PUSH": "PULL", "PULL": "PUSH", "REQ": "REP", "REP": "REQ", "DEALER": "ROUTER", "ROUTER": "DEALER",
	"PUB": "SUB", "SUB": "PUB", "XPUB": "XSUB", "XSUB": "XPUB", "PAIR": "PAIR",
}

// RFC 37, 3.4: each socket type answers a PING at once, with nobody in Recv; libzmq hangs up otherwise.
func TestInteropWeAnswerPings(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	var open []*own
	for ours, theirs := range counterparts {
		s := openOwn(t, ours, socket.WithHeartbeat(0, 0))
		f := process.open(t, theirs, options{"HEARTBEAT_IVL": 40, "HEARTBEAT_TIMEOUT": 400, "HEARTBEAT_TTL": 5000})
		t.Cleanup(f.close)
		f.connect(s.bind(freshEndpoint(t, "tcp")))
		s.waitPeers(1)
		open = append(open, s)
	}
	silent := process.open(t, "PULL", nil)
	t.Cleanup(silent.close)
	require.Nil(t, silent.tryRecv(1200*time.Millisecond)) // libzmq would have hung up three times over
	for _, s := range open {
		s.requireNoEvent(socket.Disconnected)
		assert.Len(t, s.Stats().Peers, 1, s.Type())
	}
}

// libzmq answers our PINGs on a link of each type, and the round trip shows in Stats.
func TestInteropOurPingsAreAnswered(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for ours, theirs := range counterparts {
		s := openOwn(t, ours, socket.WithHeartbeat(20*time.Millisecond, patience))
		f := process.open(t, theirs, nil)
		t.Cleanup(f.close)
		s.connect(f.bind(freshEndpoint(t, "tcp")))
		require.Eventually(t, func() bool {
			peers := s.Stats().Peers
			return len(peers) == 1 && peers[0].LastRTT > 0
		}, patience, 5*time.Millisecond, "no PONG for our %s", ours)
		s.requireNoEvent(socket.Disconnected)
	}
}

// A PONG that nobody asked for, with which we show that we live when enough PINGs are unanswered, is nothing to libzmq.
func TestInteropPongToNone(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for ours, theirs := range counterparts {
		f := process.open(t, theirs, nil)
		t.Cleanup(f.close)
		p := sockettest.DialRaw(t, f.bind(freshEndpoint(t, "tcp")))
		p.Handshake(ours, 1)
		for range 3 {
			p.SendCommand("PONG", nil)
		}
		p.SendCommand("PING", []byte("\x00\x00alive"))
		require.Equal(t, "alive", string(p.ExpectCommand("PONG")), "a %s", theirs)
	}
}

// zmq4 would hand a PING to the application: no link with ZMTP 3.0 carries one.
func TestInteropNoPingTowardsOldPeers(t *testing.T) {
	t.Parallel()
	process := startZMQ4(t)
	pull := process.open(t, "PULL", nil)
	t.Cleanup(pull.close)
	push := openOwn(t, "PUSH", socket.WithHeartbeat(5*time.Millisecond, 50*time.Millisecond))
	push.connect(pull.bind(freshEndpoint(t, "tcp")))
	push.waitPeers(1)
	require.Equal(t, "3.0", push.Stats().Peers[0].Peer.Version())
	require.Nil(t, pull.tryRecv(300*time.Millisecond))
	push.requireNoEvent(socket.Disconnected)
	oneWay(t, push, pull, [][][]byte{frames("still here")})
}

// A message beyond libzmq's MAXMSGSIZE costs the connection, not the socket.
func TestInteropTheirMaxMessageSize(t *testing.T) {
	t.Parallel()
	pull := startLibzmq(t).open(t, "PULL", options{"MAXMSGSIZE": 1000})
	t.Cleanup(pull.close)
	push := openOwn(t, "PUSH", quick)
	push.connect(pull.bind(freshEndpoint(t, "tcp")))
	push.send(pattern(1000, 'x'))
	requireFrames(t, [][]byte{pattern(1000, 'x')}, pull.recv())
	push.send(pattern(1001, 'x'))
	push.awaitEvent(socket.Disconnected)
	push.awaitEvent(socket.Connected)
	push.send([]byte("small"))
	requireFrames(t, frames("small"), pull.recv())
}

// The same the other way round: we hang up without an ERROR, so that libzmq comes back (trap 11).
func TestInteropOurMaxMessageSize(t *testing.T) {
	t.Parallel()
	push := startLibzmq(t).open(t, "PUSH", options{"RECONNECT_IVL": 10})
	t.Cleanup(push.close)
	pull := openOwn(t, "PULL", socket.WithMaxMessageSize(1000))
	push.connect(pull.bind(freshEndpoint(t, "tcp")))
	push.send(pattern(1000, 'x'))
	requireFrames(t, [][]byte{pattern(1000, 'x')}, pull.recv())
	push.send(pattern(600, 'x'), pattern(401, 'y')) // the limit is that of the whole message
	require.ErrorIs(t, pull.awaitEvent(socket.Disconnected).Err, socket.ErrTooLarge)
	pull.awaitEvent(socket.Connected)
	push.send([]byte("small"))
	requireFrames(t, frames("small"), pull.recv())
}

// What Send took is with libzmq once Shutdown has returned.
func TestInteropShutdownDelivers(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := process.open(t, "PULL", nil)
	t.Cleanup(pull.close)
	push := socket.NewPush(socket.WithLinger(0))
	defer push.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, push.Connect(pull.bind(freshEndpoint(t, "tcp"))))
	for i := range 500 {
		require.NoError(t, push.Send(ctx, []byte(strconv.Itoa(i))))
	}
	require.NoError(t, push.Shutdown(ctx))
	requireNumbers(t, pull, 0, 500)
}
