package socket_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Shutdown counts messages that go to and fro between a peer that refuses them and the sender, wherever they are when it looks.
func TestAssured_ShutdownCountsWhatIsRefusedMeanwhile(t *testing.T) {
	t.Parallel()
	const messages = 3
	push, pull := socket.NewPush(socket.WithAck(), socket.WithRetry(1, 1), socket.WithAttempts(0)), socket.NewPull(socket.WithAck(), socket.WithManualAck())
	join(t, "inproc", pull, push)
	numbered(t, push, 0, messages, 10)
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for m := range pull.Messages(ctx) {
			_ = m.Nack(socket.Nack{}) // once the connection has ended nobody is to hear it
		}
	}()
	require.ErrorContains(t, push.Shutdown(soon(t)), fmt.Sprint(messages, " messages were not acknowledged"))
	require.EqualValues(t, messages, push.Stats().Dropped[socket.DropClosed])
	stop()
	<-over
}

// What a ROUTER has not got acknowledged when it is closed is left, and no dead letter, whether the peer has an identity or not.
func TestAssured_RouterShutdownCountsNamelessPeers(t *testing.T) {
	t.Parallel()
	router, dealer := socket.NewRouter(socket.WithAck()), socket.NewDealer(socket.WithAck(), socket.WithManualAck())
	join(t, "tcp", router, dealer)
	send(t, dealer, "hello")
	hello := recv(t, router)
	require.NoError(t, hello.Ack())
	id := hello.Frames[0]
	require.NoError(t, router.Send(limit(t), id, []byte("kept")))
	recv(t, dealer)
	require.ErrorContains(t, router.Shutdown(soon(t)), "1 messages were not acknowledged")
	s := router.Stats()
	require.EqualValues(t, 1, s.Dropped[socket.DropClosed])
	require.Zero(t, s.Acks.DeadLettered)
}

// A ROUTER that disconnects from a peer keeps what the peer did not acknowledge under the peer's routing id, and holds nobody else up with it.
func TestAssured_RouterDisconnect(t *testing.T) {
	t.Parallel()
	letters := make(chan socket.DeadLetter, 1)
	router := socket.NewRouter(socket.WithAck(), socket.WithLinger(0), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
	closing(t, router)
	await := watch(t, router)
	dealer := func(id ...socket.Option) (*socket.Dealer, string) {
		d := socket.NewDealer(append(id, socket.WithAck(), socket.WithManualAck())...)
		closing(t, d)
		return d, bind(t, d, "tcp://127.0.0.1:0")
	}
	nameless, at := dealer()
	require.NoError(t, router.Connect(at))
	send(t, nameless, "hello")
	hello := recv(t, router)
	require.NoError(t, hello.Ack())
	id := hello.Frames[0]
	require.NoError(t, router.Send(limit(t), id, []byte("lost")))
	recv(t, nameless)
	require.NoError(t, router.Disconnect(at))
	d := <-letters
	require.Equal(t, [][]byte{id, []byte("lost")}, d.Frames)
	await(socket.Disconnected) // it counts no more in WaitPeers

	named, at := dealer(socket.WithIdentity("d"))
	require.NoError(t, router.Connect(at))
	require.NoError(t, router.WaitPeers(limit(t), 1))
	send(t, router, "d", "kept")
	recv(t, named)
	require.NoError(t, router.Disconnect(at))
	require.NoError(t, router.Connect(at))
	m := recv(t, named)
	requireMsg(t, m, "kept")
	require.NoError(t, m.Ack())
	require.NoError(t, router.WaitAcked(limit(t)))
}

// A proxy acknowledges what the other side accepted, also where Recv does not, and has rejected what that will never take.
func TestAssured_Proxy(t *testing.T) {
	t.Parallel()
	letters := make(chan socket.DeadLetter, 1)
	push := socket.NewPush(socket.WithAck(), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
	front := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(2, 1<<20))
	back, pull := socket.NewPush(socket.WithAck(), socket.WithMaxMessageSize(100)), socket.NewPull(socket.WithAck())
	joinAt(t, "tcp", "front", front, push)
	joinAt(t, "tcp", "back", back, pull)
	runProxy(t, socket.NewProxy(front, back))
	send(t, push, strings.Repeat("x", 101))
	numbered(t, push, 0, 10, 10)
	for i := range 10 {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
	_, err := pull.Recv(try()) // which acknowledges the last
	require.Error(t, err)
	require.NoError(t, push.WaitAcked(limit(t)))
	require.Contains(t, (<-letters).Reason, "101 bytes")
}

// What is put off, and the dead letters that nobody has heard of yet, are bounded as what is outstanding is: Send blocks until there is room.
func TestAssured_BoundsWhatIsHeld(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	for name, c := range map[string]struct {
		nack  socket.Nack
		limit socket.Option
		size  int
		more  int // that is taken beyond the limit of 3
		room  func(push *socket.Push)
	}{
		"retry":       {socket.Nack{After: time.Hour}, socket.WithSendHWM(3), 10, 0, func(push *socket.Push) { require.NoError(t, push.SetSendHWM(4)) }},
		"retry bytes": {socket.Nack{After: time.Hour}, socket.WithSendHWMBytes(3 * 100), 100, 0, nil},
		"letters":     {socket.Reject("no"), socket.WithSendHWM(3), 10, 1, func(*socket.Push) { close(hold) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push := socket.NewPush(socket.WithAck(), c.limit, socket.WithLinger(0), socket.WithDeadLetter(func(socket.DeadLetter) { <-hold }))
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
			join(t, "inproc", pull, push)
			for i := range 3 + c.more {
				require.NoError(t, push.Send(limit(t), make([]byte, c.size)))
				m := recv(t, pull)
				require.NoError(t, m.Nack(c.nack))
				require.Eventually(t, func() bool { return push.Stats().Acks.NackedOut == uint64(i+1) }, time.Minute, time.Millisecond)
			}
			require.ErrorIs(t, push.Send(try(), nil), socket.ErrFull)
			defer push.Close() // what is left is no error here
			if c.room == nil {
				return
			}
			sent := make(chan error, 1)
			go func() { sent <- push.Send(limit(t), nil) }()
			c.room(push)
			require.NoError(t, <-sent)
		})
	}
}
