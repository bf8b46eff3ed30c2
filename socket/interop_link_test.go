package socket_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// quick makes reconnecting quick.
var quick = socket.WithReconnect(time.Millisecond, 20*time.Millisecond)

func sendNumbers(to end, from, until int) {
	for i := from; i < until; i++ {
		to.send([]byte(strconv.Itoa(i)))
	}
}

func requireNumbers(t *testing.T, at end, from, until int) {
	t.Helper()
	for i := from; i < until; i++ {
		require.Equal(t, i, number(t, at.recv()))
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
		f := process.open(t, theirs, options{"HEARTBEAT_IVL": 40, "HEARTBEAT_TIMEOUT": 2000, "HEARTBEAT_TTL": 5000})
		t.Cleanup(f.close)
		f.connect(s.bind(freshEndpoint(t, "tcp")))
		s.waitPeers(1)
		open = append(open, s)
	}
	awaitLasting(t, 2500*time.Millisecond, open...) // libzmq would hang up
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

// RFC 37, 3.4: who falls silent for longer than the TTL of its last PING is hung up on, by us as by libzmq.
func TestInteropTTL(t *testing.T) {
	t.Parallel()
	for _, theirsPings := range []bool{true, false} {
		t.Run(fmt.Sprintf("libzmq pings %t", theirsPings), func(t *testing.T) {
			t.Parallel()
			theirOptions, ours := options{}, socket.WithHeartbeat(20*time.Millisecond, 4*patience)
			ttl := socket.WithHeartbeatTTL(1500 * time.Millisecond)
			if theirsPings {
				theirOptions = options{"HEARTBEAT_IVL": 20, "HEARTBEAT_TIMEOUT": 4 * patience.Milliseconds(), "HEARTBEAT_TTL": 1500}
				ours, ttl = socket.WithHeartbeat(0, 0), socket.WithHeartbeatTTL(0)
			}
			pull := startLibzmq(t).open(t, "PULL", theirOptions)
			between := startRelay(t, pull.bind(freshEndpoint(t, "tcp")), 1)
			push := openOwn(t, "PUSH", ours, ttl)
			push.connect(between.endpoint)
			push.waitPeers(1)
			oneWay(t, push, pull, [][][]byte{frames("hello")})
			awaitLasting(t, 2*time.Second, push)
			require.Nil(t, pull.tryRecv(0), "PINGs are no messages")
			between.mute()
			gone := push.awaitEvent(socket.Disconnected)
			if theirsPings {
				require.ErrorContains(t, gone.Err, "silent")
			} else {
				require.NotContains(t, fmt.Sprint(gone.Err), "silent", "it is libzmq that hung up")
			}
		})
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
