package socket_test

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// The traps are places where libzmq and the RFCs part, or where a mistake shows only late. Those that
// concern bytes alone are tested in transport/zmtp.

// Trap 2: RFC 37 lets a side send once it has both sent and received READY. libzmq closes the connection
// when a message comes before it is ready itself.
func TestTrap02_NoMessageBeforeReady(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	push := openOwn(t, "PUSH")
	push.connect("tcp://" + ln.Addr().String())
	push.send([]byte("hello"))

	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL" + strings.Repeat("\x00", 48)))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.ReadFull(conn, make([]byte, 64))
	require.NoError(t, err)
	header := make([]byte, 2)
	_, err = io.ReadFull(conn, header)
	require.NoError(t, err)
	require.Equal(t, byte(0x04), header[0], "READY is a short command")
	ready := make([]byte, header[1])
	_, err = io.ReadFull(conn, ready)
	require.NoError(t, err)
	require.Equal(t, "\x05READY", string(ready[:6]))

	require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = conn.Read(header)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing may follow before our READY")
	_, err = conn.Write([]byte("\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	message := make([]byte, 7)
	_, err = io.ReadFull(conn, message)
	require.NoError(t, err)
	require.Equal(t, "\x00\x05hello", string(message))
}

// Trap 2 with libzmq: messages wait in the queue when the handshake begins, whoever connects, and no
// connection is lost over it.
func TestTrap02_QueueBeforeHandshake(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for range 20 {
		pull := process.open(t, "PULL", nil)
		push := openOwn(t, "PUSH")
		endpoint := pull.bind(freshEndpoint(t, "tcp"))
		push.connect(endpoint)
		sendNumbers(push, 0, 3)
		requireNumbers(t, pull, 0, 3)
		push.requireNoEvent(socket.Disconnected)
		require.Zero(t, push.Stats().Peers[0].Reconnects)
		pull.close()
		require.NoError(t, push.Close())
	}
}

// Trap 6: a libzmq PUB keeps one entry for a topic and a peer, so one CANCEL removes it, however many
// SUBSCRIBEs came before. Hence we count, and tell the publisher of the first and the last only.
func TestTrap06_SubscriptionsAreCountedHere(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for _, kind := range []string{"SUB", "XSUB"} {
		xpub := process.open(t, "XPUB", options{"XPUB_VERBOSER": 1})
		t.Cleanup(xpub.close)
		sub := openOwn(t, kind)
		sub.connect(xpub.bind(freshEndpoint(t, "tcp")))
		sub.waitPeers(1)
		for range 3 {
			sub.subscribe("a")
		}
		sub.unsubscribe("a")
		sub.unsubscribe("a")
		sub.subscribe("mark")
		requireFrames(t, frames("\x01a"), xpub.recv())
		requireFrames(t, frames("\x01mark"), xpub.recv())
		xpub.send([]byte("a1"))
		requireFrames(t, frames("a1"), sub.recv())
		sub.unsubscribe("a")
		requireFrames(t, frames("\x00a"), xpub.recv())
		sub.subscribe("a")
		requireFrames(t, frames("\x01a"), xpub.recv())
	}
}

// Trap 11: a libzmq connector gives up for good after an ERROR or a protocol violation. So what will pass
// must end with a plain close: here a socket that has no room for another peer.
func TestTrap11_TransientRefusalIsNoViolation(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := openOwn(t, "PULL", socket.WithMaxPeers(1))
	endpoint := pull.bind(freshEndpoint(t, "tcp"))
	first := process.open(t, "PUSH", nil)
	first.connect(endpoint)
	first.send([]byte("first"))
	requireFrames(t, frames("first"), pull.recv())

	second := process.open(t, "PUSH", options{"RECONNECT_IVL": 10})
	t.Cleanup(second.close)
	second.connect(endpoint)
	second.send([]byte("second"))
	require.Nil(t, pull.tryRecv(200*time.Millisecond), "there is no room for a second peer")
	first.close()
	requireFrames(t, frames("second"), pull.recv())
}

// Trap 11 for a PAIR, which has room for one peer by its nature (RFC 31).
func TestTrap11_SecondPairWaits(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pair := openOwn(t, "PAIR")
	endpoint := pair.bind(freshEndpoint(t, "tcp"))
	first := process.open(t, "PAIR", nil)
	first.connect(endpoint)
	oneWay(t, first, pair, [][][]byte{frames("first")})

	second := process.open(t, "PAIR", options{"RECONNECT_IVL": 10})
	t.Cleanup(second.close)
	second.connect(endpoint)
	require.Nil(t, second.tryRecv(200*time.Millisecond))
	first.close()
	pair.awaitEvent(socket.Disconnected)
	pair.waitPeers(1)
	oneWay(t, pair, second, [][][]byte{frames("second")})
}

// Trap 11, our side: we do not give up. A peer of the wrong type is an event, and we try again until
// the right one is there.
func TestTrap11_WeKeepTrying(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	wrong := process.open(t, "PUB", nil)
	endpoint := wrong.bind(freshEndpoint(t, "tcp"))
	push := openOwn(t, "PUSH", quick)
	push.connect(endpoint)
	require.Error(t, push.awaitEvent(socket.HandshakeFailed).Err)
	push.awaitEvent(socket.Retrying)
	wrong.close()
	pull := process.open(t, "PULL", nil)
	t.Cleanup(pull.close)
	pull.bind(endpoint)
	oneWay(t, push, pull, [][][]byte{frames("at last")})
}

// Trap 12: libzmq's MAXMSGSIZE holds for the commands of the handshake too, so our READY must be small.
func TestTrap12_ReadyIsSmall(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for ours, theirs := range counterparts {
		s := openOwn(t, ours, quick)
		f := process.open(t, theirs, options{"MAXMSGSIZE": 64})
		t.Cleanup(f.close)
		s.connect(f.bind(freshEndpoint(t, "tcp")))
		s.awaitEvent(socket.Connected)
		s.requireNoEvent(socket.HandshakeFailed)
	}
}

// Trap 12, our side: the limit of messages is no limit of the handshake, which may be longer.
func TestTrap12_MaxMessageSizeSparesHandshake(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("i", 255)
	dealer := startLibzmq(t).open(t, "DEALER", options{"ROUTING_ID": id})
	t.Cleanup(dealer.close)
	router := openOwn(t, "ROUTER", socket.WithMaxMessageSize(16))
	dealer.connect(router.bind(freshEndpoint(t, "tcp")))
	dealer.send([]byte("16 bytes, enough"))
	requireFrames(t, frames(id, "16 bytes, enough"), router.recv())
	router.send(frames(id, "answer")...)
	requireFrames(t, frames("answer"), dealer.recv())
}
