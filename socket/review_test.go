package socket_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// RFC 31: a PAIR that has its peer refuses another before that one counts on it, so that what the other has queued stays queued.
func TestRFC31_RefusedPairLosesNothing(t *testing.T) {
	t.Parallel()
	a, b, c := socket.NewPair(), socket.NewPair(), socket.NewPair(swift())
	closing(t, a, c)
	refused := watch(t, a)
	bound := bind(t, a, "tcp://127.0.0.1:0")
	require.NoError(t, b.Connect(bound))
	require.NoError(t, b.WaitPeers(limit(t), 1))
	require.NoError(t, a.WaitPeers(limit(t), 1))
	require.NoError(t, c.Connect(bound))
	for i := range 100 {
		send(t, c, string(rune('a'+i%26)))
	}
	for range 3 {
		refused(socket.HandshakeFailed)
	}
	assert.Equal(t, 100, c.Stats().Peers[0].QueueMessages)
	require.NoError(t, b.Close())
	for i := range 100 {
		requireMsg(t, recv(t, a), string(rune('a'+i%26)))
	}
}

// A subscriber that subscribes and cancels without end is read no further than the inbox of an XPUB that nobody receives from holds.
func TestXPub_InboxIsBounded(t *testing.T) {
	t.Parallel()
	xpub := socket.NewXPub(socket.WithRecvHWM(100))
	closing(t, xpub)
	bound := bind(t, xpub, "tcp://127.0.0.1:0")
	p := sockettest.DialRaw(t, bound)
	p.Handshake("SUB", 1)
	var flood bytes.Buffer
	for range 20000 {
		flood.WriteString("\x04\x0b\x09SUBSCRIBEa\x04\x08\x06CANCELa")
	}
	go p.Conn().Write(flood.Bytes()) // ends with the connection, if not before
	for range 20000 {
		requireMsg(t, recv(t, xpub), "\x01a")
		requireMsg(t, recv(t, xpub), "\x00a")
	}
}

// Subscriptions are shown in the order in which they took effect, whoever made them.
func TestXPub_ShowsSubscriptionsInOrder(t *testing.T) {
	t.Parallel()
	xpub, one, two := socket.NewXPub(), socket.NewSub(), socket.NewSub()
	closing(t, xpub, one, two)
	bound := bind(t, xpub, "tcp://127.0.0.1:0")
	require.NoError(t, one.Connect(bound))
	require.NoError(t, two.Connect(bound))
	for s, n := range map[interface {
		WaitPeers(context.Context, int) error
	}]int{xpub: 2, one: 1, two: 1} { // who subscribes before it is connected tells its topics in any order
		require.NoError(t, s.WaitPeers(limit(t), n))
	}
	require.NoError(t, one.Subscribe("x", "y", "a"))
	require.NoError(t, xpub.WaitSubscribers(limit(t), "a", 1))
	require.NoError(t, two.Subscribe("a"))
	require.NoError(t, xpub.WaitSubscribers(limit(t), "a", 2))
	require.NoError(t, one.Unsubscribe("a"))
	require.NoError(t, two.Unsubscribe("a"))
	for _, want := range []string{"\x01x", "\x01y", "\x01a", "\x00a"} {
		requireMsg(t, recv(t, xpub), want)
	}
}

// What empty frames cost counts against the high-water mark in bytes, though their bodies are nothing.
func TestRecvHWMBytes_CountsFrames(t *testing.T) {
	pull := socket.NewPull(socket.WithRecvHWMBytes(1<<20), socket.WithMaxFrames(0))
	closing(t, pull)
	bound := bind(t, pull, "tcp://127.0.0.1:0")
	p := sockettest.DialRaw(t, bound)
	p.Handshake("PUSH", 1)
	message := append(bytes.Repeat([]byte{1, 0}, 60000), 0, 0)
	const sent = 200
	wrote := make(chan struct{})
	go func() { // ends with the connection, if not before
		defer close(wrote)
		p.Conn().Write(bytes.Repeat(message, sent))
	}()
	recv(t, pull)
	runtime.GC()
	assert.Less(t, pull.Stats().Peers[0].InboxMessages, 5, "1.5 MB of slice headers each")
	for range sent - 1 {
		require.Len(t, recv(t, pull).Frames, 60001)
	}
	<-wrote
}

// After Close, Recv says so whatever the state of the pattern.
func TestRecv_AfterCloseIsErrClosed(t *testing.T) {
	t.Parallel()
	req, rep := socket.NewReq(), socket.NewRep()
	join(t, "tcp", rep, req)
	send(t, req, "unanswered")
	recv(t, rep)
	require.NoError(t, rep.Close())
	require.NoError(t, req.Close())
	_, err := rep.Recv(limit(t))
	require.ErrorIs(t, err, socket.ErrClosed)
	idle := socket.NewReq()
	require.NoError(t, idle.Close())
	_, err = idle.Recv(limit(t))
	require.ErrorIs(t, err, socket.ErrClosed)
	for range rep.Messages(limit(t)) {
		t.Fatal("the loop ends with the socket")
	}
}

// A socket that its options made unusable says so once in a loop over its messages.
func TestMessages_EndWithAnUnusableSocket(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithRecvHWM(-1))
	seen := 0
	for _, err := range pull.Messages(limit(t)) {
		require.ErrorIs(t, err, socket.ErrOption)
		seen++
	}
	require.Equal(t, 1, seen)
}
