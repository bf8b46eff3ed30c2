package socket_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// An end is one socket of a conversation, ours or foreign. Its methods fail the test they are called for.
type end interface {
	socketType() string
	bind(endpoint string) string
	connect(endpoint string)
	subscribe(topic string)
	unsubscribe(topic string)
	send(frames ...[]byte)
	recv() [][]byte
	tryRecv(d time.Duration) [][]byte // nil if no message comes within d
}

// meshSocket is what all of our sockets have.
type meshSocket interface {
	Type() string
	Bind(endpoint string) (string, error)
	Connect(endpoint string) error
	Close() error
	Stats() socket.Stats
	WaitPeers(ctx context.Context, n int) error
}

func as[S meshSocket](constructor func(...socket.Option) S) func(...socket.Option) meshSocket {
	return func(o ...socket.Option) meshSocket { return constructor(o...) }
}

var constructors = map[string]func(...socket.Option) meshSocket{
	"PUSH": as(socket.NewPush), "PULL": as(socket.NewPull), "REQ": as(socket.NewReq), "REP": as(socket.NewRep),
	"DEALER": as(socket.NewDealer), "ROUTER": as(socket.NewRouter), "PUB": as(socket.NewPub), "SUB": as(socket.NewSub),
	"XPUB": as(socket.NewXPub), "XSUB": as(socket.NewXSub), "PAIR": as(socket.NewPair),
	"CLIENT": as(socket.NewClient), "SERVER": as(socket.NewServer), "RADIO": as(socket.NewRadio), "DISH": as(socket.NewDish),
	"SCATTER": as(socket.NewScatter), "GATHER": as(socket.NewGather), "PEER": as(socket.NewP2P), "CHANNEL": as(socket.NewChannel),
}

// own is a socket of ours as an end.
type own struct {
	meshSocket
	t      *testing.T
	events chan socket.Event
}

// openOwn opens a socket that is closed at the end of the test.
func openOwn(t *testing.T, socketType string, o ...socket.Option) *own {
	t.Helper()
	events := make(chan socket.Event, 10000) // more than a test causes, but for subscriptions
	o = append(o, socket.WithEventHandler(func(e socket.Event) {
		if e.Kind != socket.Subscribed && e.Kind != socket.Unsubscribed {
			events <- e
		}
	}))
	s := &own{meshSocket: constructors[socketType](o...), t: t, events: events}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (o *own) socketType() string { return o.Type() }

func (o *own) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(o.t.Context(), patience)
}

func (o *own) bind(endpoint string) string {
	o.t.Helper()
	addr, err := rebind(o, endpoint)
	require.NoError(o.t, err)
	return addr
}

func (o *own) connect(endpoint string) {
	o.t.Helper()
	require.NoError(o.t, o.Connect(endpoint))
}

func (o *own) subscribe(topic string) {
	o.t.Helper()
	if dish, ok := o.meshSocket.(*socket.Dish); ok {
		require.NoError(o.t, dish.Join(topic))
		return
	}
	require.NoError(o.t, o.meshSocket.(interface{ Subscribe(...string) error }).Subscribe(topic))
}

func (o *own) unsubscribe(topic string) {
	o.t.Helper()
	if dish, ok := o.meshSocket.(*socket.Dish); ok {
		require.NoError(o.t, dish.Leave(topic))
		return
	}
	require.NoError(o.t, o.meshSocket.(interface{ Unsubscribe(...string) error }).Unsubscribe(topic))
}

func (o *own) send(frames ...[]byte) {
	o.t.Helper()
	ctx, cancel := o.ctx()
	defer cancel()
	require.NoError(o.t, sendFrames(ctx, o.meshSocket, frames))
}

// sendFrames sends to sockets of each type. What draft types take beside the body is a frame before it: the routing id, big-endian,
// or the group.
func sendFrames(ctx context.Context, s meshSocket, frames [][]byte) error {
	switch s := s.(type) {
	case sender:
		return s.Send(ctx, frames...)
	case interface {
		Send(context.Context, []byte) error
	}:
		return s.Send(ctx, frames[0])
	case interface {
		Send(context.Context, uint32, []byte) error
	}:
		return s.Send(ctx, binary.BigEndian.Uint32(frames[0]), frames[1])
	}
	return s.(*socket.Radio).Send(ctx, string(frames[0]), frames[1])
}

// framesOf is the reverse of sendFrames.
func framesOf(s meshSocket, m socket.Msg) [][]byte {
	switch s.(type) {
	case *socket.Server, *socket.P2P:
		return [][]byte{binary.BigEndian.AppendUint32(nil, m.RoutingID()), m.Bytes()}
	case *socket.Dish:
		return [][]byte{[]byte(m.Group()), m.Bytes()}
	}
	return m.Frames
}

func (o *own) recv() [][]byte {
	o.t.Helper()
	frames := o.tryRecv(patience)
	require.NotNil(o.t, frames, "our %s received nothing in %s", o.Type(), patience)
	return frames
}

func (o *own) tryRecv(d time.Duration) [][]byte {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), d)
	defer cancel()
	m, err := o.meshSocket.(recver).Recv(ctx)
	if errors.Is(err, socket.ErrTimeout) {
		return nil
	}
	require.NoError(o.t, err)
	return framesOf(o.meshSocket, m)
}

func (o *own) waitPeers(n int) {
	o.t.Helper()
	ctx, cancel := o.ctx()
	defer cancel()
	require.NoError(o.t, o.WaitPeers(ctx, n), "%s waits for %d peers", o.Type(), n)
}

// waitSubscriber returns once sub is subscribed to topic. libzmq attends to new connections only while
// the application calls it, so sub is given the occasion.
func (o *own) waitSubscriber(topic string, sub end) {
	o.t.Helper()
	pub := o.meshSocket.(interface {
		WaitSubscribers(context.Context, string, int) error
	})
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Millisecond)
		err := pub.WaitSubscribers(ctx, topic, 1)
		cancel()
		if err == nil {
			return
		}
		require.ErrorIs(o.t, err, socket.ErrTimeout)
		require.True(o.t, time.Now().Before(deadline), "nobody subscribed to %.20q", topic)
		require.Nil(o.t, sub.tryRecv(0), "nothing was published")
	}
}

// awaitEvent returns the next event of the kind; those before it are lost.
func (o *own) awaitEvent(kind socket.EventKind) socket.Event {
	o.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case e := <-o.events:
			if e.Kind == kind {
				return e
			}
		case <-deadline:
			require.FailNow(o.t, "no event", "%s waits for: %s", o.Type(), kind)
		}
	}
}

// requireNoEvent fails if an event of the kind has happened and was not read.
func (o *own) requireNoEvent(kind socket.EventKind) {
	o.t.Helper()
	for {
		select {
		case e := <-o.events:
			require.NotEqual(o.t, kind, e.Kind, "%s: %s", o.Type(), e)
		default:
			return
		}
	}
}

// awaitLasting waits until all have lost no connection for so long, in which heartbeats that nobody answers would end each. A machine that is too busy for them may end some before.
func awaitLasting(t *testing.T, long time.Duration, all ...*own) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		<-time.After(long)
		lost := 0
		for _, o := range all {
			for len(o.events) > 0 {
				if e := <-o.events; e.Kind == socket.Disconnected {
					lost++
				}
			}
		}
		if lost == 0 {
			return
		}
		require.True(t, time.Now().Before(deadline), "connections do not last for %s", long)
		for _, o := range all {
			o.waitPeers(1)
		}
	}
}

// freshEndpoint returns an endpoint to bind that nobody else uses. Where the system has more than one loopback address, a port
// that is free for a moment, while its owner restarts, is not taken by another test.
func freshEndpoint(t *testing.T, transport string) string {
	t.Helper()
	if transport != "ipc" {
		host := "127.0.0.1"
		if runtime.GOOS == "linux" {
			host = fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 1+rand.N(250))
		}
		return strings.Fields(transport)[0] + "://" + host + ":*"
	}
	dir, err := os.MkdirTemp("", "mesh") // t.TempDir may be too long for the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "ipc://" + filepath.Join(dir, "s")
}

// frames returns a message of the given frames.
func frames(f ...string) [][]byte {
	m := make([][]byte, len(f))
	for i := range f {
		m[i] = []byte(f[i])
	}
	return m
}

// requireFrames compares messages; a difference is printed by lengths and first bytes, not by the megabyte.
func requireFrames(t *testing.T, want, got [][]byte) {
	t.Helper()
	same := len(want) == len(got)
	for i := 0; same && i < len(want); i++ {
		same = bytes.Equal(want[i], got[i])
	}
	if !same {
		require.FailNow(t, "another message arrived", "want %s\ngot  %s", outline(want), outline(got))
	}
}

func outline(m [][]byte) string {
	var b strings.Builder
	for _, f := range m {
		fmt.Fprintf(&b, "[%d %.16q]", len(f), f)
	}
	return b.String()
}
