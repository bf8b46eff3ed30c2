package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// sendable is how many messages of size bytes s takes without waiting, at most limit.
func sendable(s sender, limit, size int) (n int) {
	for n < limit && trySend(s, strings.Repeat("x", size)) == nil {
		n++
	}
	return n
}

// Behaviour 55: a queue holds as many messages as the high-water mark says, 1000 by default, any number with 0, and takes one more for each that
// left it; it outlives the close of the side that connected.
//
// Differs: within the process, too, messages travel in chunks, which add to what the marks of both sides allow; and room is told when
// half the queue is empty.
func TestBehaviour55_HighWaterMarks(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tc := range []struct {
			options []socket.Option
			want    int
		}{
			{nil, 1000},
			{[]socket.Option{socket.WithSendHWM(1)}, 1},
			{[]socket.Option{socket.WithSendHWM(7)}, 7},
			{[]socket.Option{socket.WithSendHWM(0)}, 5000},
			{[]socket.Option{socket.WithSendHWM(0), socket.WithSendHWMBytes(1000)}, 100},
		} {
			push := socket.NewPush(append(tc.options, socket.WithLinger(0))...)
			connect(t, push, unbound(t, transport)) // nobody is there: the queue is all there is
			assert.Equal(t, tc.want, sendable(push, 5000, 10))
			assert.NoError(t, ignoreUnsent(push.Close()))
		}

		const size = 256 << 10 // so that few messages fill what lies between the queues
		push, pull := socket.NewPush(socket.WithSendHWM(1)), socket.NewPull(socket.WithRecvHWM(1))
		closing(t, pull)
		connect(t, push, bind(t, pull, fresh(transport)))
		awaitPeers(t, push, 1)
		sent := 0
		for push.Send(soon(t), make([]byte, size)) == nil {
			sent++
			require.Less(t, sent, 256, "the marks hold nothing back")
		}
		require.GreaterOrEqual(t, sent, 2)
		more := sending(limit(t), push, "one more")
		for range sent {
			require.Len(t, recv(t, pull).Bytes(), size)
		}
		require.NoError(t, <-more)
		require.NoError(t, push.Shutdown(limit(t)))
		requireRecv(t, pull, "one more")
	})
}

// ignoreUnsent is the error of closing a socket whose messages nobody was to take.
func ignoreUnsent(err error) error {
	if err != nil && strings.Contains(err.Error(), "messages were not sent") {
		return nil
	}
	return err
}

// Behaviour 56: the high-water mark may be changed before and after connecting; lowering it below what is queued loses nothing.
func TestBehaviour56_ChangeHighWaterMark(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush()
		closing(t, push)
		endpoint := unbound(t, transport)
		require.NoError(t, push.SetSendHWM(4))
		connect(t, push, endpoint)
		total := sendable(push, 100, 1)
		require.Equal(t, 4, total)
		require.NoError(t, push.SetSendHWM(10))
		total += sendable(push, 100, 1)
		require.Equal(t, 10, total)
		require.NoError(t, push.SetSendHWM(2))
		require.ErrorIs(t, trySend(push, "x"), socket.ErrFull)
		pull := socket.NewPull()
		closing(t, pull)
		bind(t, pull, endpoint)
		for range total {
			requireRecv(t, pull, "x")
		}
		send(t, push, "after")
		requireRecv(t, pull, "after")
		require.Empty(t, push.Stats().Dropped)
	})
}

// Behaviour 57: of 20 messages to a socket that conflates, the last one is received.
func TestBehaviour57_Conflate(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull(socket.WithConflate())
		join(t, transport, pull, push)
		for i := range 20 {
			send(t, push, fmt.Sprint(i))
		}
		eventually(t, func() bool { return pull.Stats().Dropped[socket.DropConflated] == 19 })
		requireRecv(t, pull, "19")
		requireNothing(t, pull)
	})
}

// Behaviour 58: half of what is sent goes to an endpoint where nobody is, since that has a queue; with WithImmediate all goes to the peer that
// is there, and Send fails while there is none.
func TestBehaviour58_Immediate(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tc := range []struct {
			options []socket.Option
			want    int
		}{{nil, 5}, {[]socket.Option{socket.WithImmediate()}, 10}} {
			push, pull := socket.NewPush(append(tc.options, swift(), socket.WithLinger(0))...), socket.NewPull()
			connect(t, push, unbound(t, transport))
			endpoint := join(t, transport, pull, push)
			for range 10 {
				send(t, push, "x")
			}
			for range tc.want {
				requireRecv(t, pull, "x")
			}
			requireNothing(t, pull)
			if tc.want < 10 {
				continue
			}
			await := watch(t, push)
			require.NoError(t, pull.Close())
			await(socket.Disconnected)
			require.ErrorIs(t, trySend(push, "nobody is there"), socket.ErrNoPeer)
			back := socket.NewPull()
			closing(t, back)
			bind(t, back, endpoint)
			send(t, push, "works again")
			requireRecv(t, back, "works again")
		}
	})
}

// Behaviour 59: a receive that must not wait returns at once, one with a time limit when that is over.
func TestBehaviour59_Timeouts(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull, push := socket.NewPull(), socket.NewPush()
		bound(t, transport, pull)
		closing(t, push)
		for _, call := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := pull.Recv(ctx); return err },
			func(ctx context.Context) error { return push.Send(ctx, []byte("x")) },
		} {
			require.ErrorIs(t, call(try()), context.Canceled)
			const patience = 250 * time.Millisecond
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := call(ctx)
			cancel()
			require.ErrorIs(t, err, socket.ErrTimeout)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.GreaterOrEqual(t, time.Since(start), patience)
			require.Less(t, time.Since(start), patience+sockettest.Timeout)
		}
	})
}

// Behaviour 60: a socket that never reconnects stays alone when its peer has gone and come back, until it is told to connect again.
func TestBehaviour60_NeverReconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(socket.WithoutReconnect()), socket.NewPull()
		await := watch(t, push)
		endpoint := join(t, transport, pull, push)
		send(t, push, "before")
		requireRecv(t, pull, "before")
		require.NoError(t, pull.Close())
		assert.Equal(t, endpoint, await(socket.GaveUp).Endpoint)
		pull = socket.NewPull()
		closing(t, pull)
		bind(t, pull, endpoint)
		require.ErrorIs(t, pull.WaitPeers(soon(t), 1), socket.ErrNoPeer)
		require.ErrorIs(t, trySend(push, "x"), socket.ErrNoPeer)
		state := push.Stats().Peers
		require.Len(t, state, 1)
		assert.True(t, state[0].GaveUp)
		assert.False(t, state[0].Connected)

		connect(t, push, endpoint)
		send(t, push, "after")
		requireRecv(t, pull, "after")
		assert.False(t, push.Stats().Peers[0].GaveUp)
	})
}

// Behaviour 61: the loss of a peer, the attempts after it and its return are events in this order.
func TestBehaviour61_ReconnectEvents(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(swift()), socket.NewPull()
	var order []socket.EventKind
	next := watch(t, push)
	endpoint := join(t, "tcp", pull, push)
	for _, kind := range []socket.EventKind{socket.Connected, socket.Disconnected, socket.Retrying, socket.Retrying} {
		if kind == socket.Disconnected {
			require.NoError(t, pull.Close())
		}
		order = append(order, next(kind).Kind)
	}
	pull = socket.NewPull()
	closing(t, pull)
	bind(t, pull, endpoint)
	order = append(order, next(socket.Connected).Kind)
	require.Len(t, order, 5)
	send(t, push, "x")
	requireRecv(t, pull, "x")
}

// Behaviour 61: reconnecting stops when the connection is refused, if so asked.
func TestBehaviour61_StopOnRefused(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(swift(), socket.WithReconnectStop(socket.StopOnRefused)), socket.NewPull()
	await := watch(t, push)
	endpoint := join(t, "tcp", pull, push)
	require.NoError(t, pull.Close())
	await(socket.Disconnected)
	await(socket.Retrying) // the loss alone is no refusal
	assert.ErrorContains(t, await(socket.GaveUp).Err, "refused")
	require.ErrorIs(t, trySend(push, "x"), socket.ErrNoPeer)
	connect(t, push, endpoint)
	await(socket.GaveUp)
}

// Behaviour 61: reconnecting stops when a handshake fails, if so asked.
func TestBehaviour61_StopOnHandshakeFailed(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(swift(), socket.WithReconnectStop(socket.StopOnHandshakeFailed))
		closing(t, push)
		await := watch(t, push)
		ln := listenRaw(t, fresh(transport))
		connect(t, push, ln.Endpoint)
		ln.Accept().Close()
		await(socket.HandshakeFailed)
		assert.Error(t, await(socket.GaveUp).Err)
		connect(t, push, ln.Endpoint)
		ln.Peer("PULL").Close()
		await(socket.Connected)
		await(socket.Disconnected)
		await(socket.Retrying) // a handshake that succeeded is none that failed
		raw := ln.Accept()
		raw.Send("48 54 54 50")
		raw.Close()
		await(socket.GaveUp)
	})
}

// Behaviour 61: a connection is not sought any more after Disconnect, if so asked; else it is while messages wait, for the linger period.
func TestBehaviour61_StopAfterDisconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, stops := range []bool{true, false} {
			options := []socket.Option{swift(), socket.WithLinger(sockettest.Timeout)}
			if stops {
				options = append(options, socket.WithReconnectStop(socket.StopAfterDisconnect))
			}
			push := socket.NewPush(options...)
			closing(t, push)
			await := watch(t, push)
			endpoint := unbound(t, transport)
			connect(t, push, endpoint)
			send(t, push, "x")
			require.NoError(t, push.Disconnect(endpoint))
			if stops {
				assert.Equal(t, socket.DropDisconnected, await(socket.Dropped).Reason)
				continue
			}
			pull := socket.NewPull()
			closing(t, pull)
			bind(t, pull, endpoint)
			requireRecv(t, pull, "x")
		}
	})
}

// Behaviour 62: after Disconnect, or Unbind, there is nobody to send to; a wildcard is unbound by the address that it became.
//
// Differs: Unbind lets the peers stay that came before it, so that a server can take no more of them and serve those it has.
func TestBehaviour62_EndOfAnEndpoint(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		endpoint := join(t, transport, pull, push)
		send(t, push, "x")
		requireRecv(t, pull, "x")
		require.NoError(t, push.Disconnect(endpoint))
		require.ErrorIs(t, trySend(push, "x"), socket.ErrNoPeer)
		require.ErrorIs(t, push.Disconnect(endpoint), socket.ErrEndpoint)
		awaitAlone(t, pull)

		require.ErrorIs(t, pull.Unbind("tcp://127.0.0.1:0"), socket.ErrEndpoint, "the wildcard is no address")
		late := socket.NewPush(swift())
		closing(t, late)
		connect(t, late, endpoint)
		awaitPeers(t, late, 1)
		require.NoError(t, pull.Unbind(endpoint))
		require.ErrorIs(t, pull.Unbind(endpoint), socket.ErrEndpoint)
		send(t, late, "stays")
		requireRecv(t, pull, "stays")
		require.NoError(t, late.Kick(late.Peers()[0]))
		require.ErrorIs(t, late.WaitPeers(soon(t), 1), socket.ErrNoPeer, "nobody listens any more")
	})
}

// Behaviour 76: a property of the application's that one side sets is read by the other; names begin with X-.
func TestBehaviour76_ApplicationMetadata(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(socket.WithProperty("X-key", "request")), socket.NewRep(socket.WithProperty("X-key", "reply"), socket.WithProperty("X-other", ""))
		join(t, transport, rep, req)
		send(t, req, "x")
		m := recv(t, rep)
		value, ok := m.Peer().Property("x-KEY")
		assert.True(t, ok)
		assert.Equal(t, "request", value)
		_, ok = m.Peer().Property("X-other")
		assert.False(t, ok)
		send(t, rep, "y")
		m = recv(t, req)
		value, _ = m.Peer().Property("X-key")
		assert.Equal(t, "reply", value)
		value, ok = m.Peer().Property("X-other")
		assert.True(t, ok)
		assert.Empty(t, value)
		for _, name := range []string{"key", "X:key", "X-" + strings.Repeat("k", 254)} {
			s := socket.NewReq(socket.WithProperty(name, "v"))
			require.ErrorIs(t, s.Connect(unbound(t, transport)), socket.ErrOption)
		}
	})
}
