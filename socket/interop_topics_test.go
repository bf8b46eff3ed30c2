package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// libzmq answers the PING behind our subscriptions once it has received them.
func TestInteropWaitSubscribed(t *testing.T) {
	t.Parallel()
	xpub := startLibzmq(t).open(t, "XPUB", nil)
	t.Cleanup(xpub.close)
	sub := socket.NewSub()
	closing(t, sub)
	require.NoError(t, sub.Connect(xpub.bind(freshEndpoint(t, "tcp"))))
	for _, topic := range []string{"a", "b"} {
		require.NoError(t, sub.Subscribe(topic))
		require.NoError(t, sub.WaitSubscribed(limit(t), 1))
		requireFrames(t, frames("\x01"+topic), xpub.tryRecv(time.Second))
		xpub.send([]byte(topic))
		requireMsg(t, recv(t, sub), topic)
	}
}

// go-zeromq speaks ZMTP 3.0, would pass a PING on to the application, and is sent none.
func TestInteropWaitSubscribed30(t *testing.T) {
	t.Parallel()
	pub := startZMQ4(t).open(t, "PUB", nil)
	t.Cleanup(pub.close)
	sub := socket.NewSub()
	closing(t, sub)
	require.NoError(t, sub.Connect(pub.bind(freshEndpoint(t, "tcp"))))
	require.NoError(t, sub.WaitPeers(limit(t), 1))
	require.NoError(t, sub.Subscribe("a"))
	require.ErrorContains(t, sub.WaitSubscribed(soon(t), 1), "1 speak less than ZMTP 3.1")
	require.Eventually(t, func() bool {
		pub.send([]byte("a"), []byte("message"))
		m, err := sub.Recv(soon(t))
		return err == nil && assert.Equal(t, bodies("a", "message"), m.Frames)
	}, patience, time.Millisecond)
}

// A welcome message reaches the other implementation's subscribers, and theirs ours.
func TestInteropWelcome(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	xpub := socket.NewXPub(socket.WithWelcomeMessage(text("W")))
	closing(t, xpub)
	theirs := process.open(t, "SUB", nil)
	t.Cleanup(theirs.close)
	theirs.subscribe("W")
	theirs.connect(bind(t, xpub, "tcp://127.0.0.1:0"))
	requireFrames(t, frames("W"), theirs.recv())
	requireMsg(t, recv(t, xpub), "\x01W")

	publisher := process.open(t, "XPUB", options{"XPUB_WELCOME_MSG": "W"})
	t.Cleanup(publisher.close)
	sub := socket.NewSub()
	closing(t, sub)
	require.NoError(t, sub.Subscribe("W"))
	require.NoError(t, sub.Connect(publisher.bind(freshEndpoint(t, "tcp"))))
	requireFrames(t, frames("\x01W"), publisher.recv()) // a call of it is what has libzmq take a peer in
	requireMsg(t, recv(t, sub), "W")
}

// Inverted matching works with a libzmq end on either side.
func TestInteropInvertMatching(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	xpub := socket.NewXPub(socket.WithInvertMatching())
	closing(t, xpub)
	theirs := process.open(t, "SUB", options{"INVERT_MATCHING": 1})
	t.Cleanup(theirs.close)
	theirs.subscribe("a")
	theirs.connect(bind(t, xpub, "tcp://127.0.0.1:0"))
	requireMsg(t, recv(t, xpub), "\x01a")
	send(t, xpub, "ab")
	send(t, xpub, "b")
	requireFrames(t, frames("b"), theirs.recv())

	publisher := process.open(t, "XPUB", options{"INVERT_MATCHING": 1})
	t.Cleanup(publisher.close)
	sub := socket.NewSub(socket.WithInvertMatching())
	closing(t, sub)
	require.NoError(t, sub.Subscribe("a"))
	require.NoError(t, sub.Connect(publisher.bind(freshEndpoint(t, "tcp"))))
	requireFrames(t, frames("\x01a"), publisher.recv())
	publisher.send([]byte("ab"))
	publisher.send([]byte("b"))
	requireMsg(t, recv(t, sub), "b")
}

// Grants of an XPUB with WithManual hold for libzmq's XSUB, which subscribes and leaves.
func TestInteropManual(t *testing.T) {
	t.Parallel()
	xpub := socket.NewXPub(socket.WithManual())
	closing(t, xpub)
	theirs := startLibzmq(t).open(t, "XSUB", nil)
	theirs.connect(bind(t, xpub, "tcp://127.0.0.1:0"))
	theirs.send([]byte("\x01A"))
	m := recv(t, xpub)
	requireMsg(t, m, "\x01A")
	require.NoError(t, xpub.Grant(m.Peer(), "B"))
	send(t, xpub, "A")
	send(t, xpub, "B")
	requireFrames(t, frames("B"), theirs.recv())
	theirs.close()
	requireMsg(t, recv(t, xpub), "\x00A")
	require.Zero(t, xpub.TopicCount())
}
