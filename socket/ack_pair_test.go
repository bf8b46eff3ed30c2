package socket_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Row 37 of the fault plan: no receiver has more than its credit, whatever the sender has; one that handles nothing keeps nobody else waiting, and what it has
// goes to another when it leaves.
func TestAck_CreditBoundsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	const credit, total, size = 5, 2000, 8
	for name, bound := range map[string]struct{ messages, bytes int }{"in messages": {credit, 1 << 20}, "in bytes": {1000, credit * size}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push := socket.NewPush(socket.WithAck(), socket.WithSendHWM(100))
			slow := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(bound.messages, bound.bytes))
			quick := socket.NewPull(socket.WithAck(), socket.WithAckCredit(0, 1<<20))
			closing(t, slow, quick, push)
			at := bind(t, push, "tcp://127.0.0.1:0")
			require.NoError(t, slow.Connect(at))
			require.NoError(t, quick.Connect(at))
			require.NoError(t, push.WaitPeers(limit(t), 2))
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() { numbered(t, push, 0, total, size) })
			seen := map[int]int{}
			for range credit {
				seen[ordinalOf(recv(t, slow))] = 1
			}
			_, err := slow.Recv(soon(t))
			require.ErrorIs(t, err, socket.ErrTimeout, "no more than the credit")
			_, err = quick.Recv(try())
			require.ErrorIs(t, err, context.Canceled, "there is none")
			assert.Equal(t, credit, slow.Stats().Acks.UnackedIn)

			require.NoError(t, quick.SetAckCredit(1, 1<<20))
			m := recv(t, quick)
			require.NoError(t, quick.SetAckCredit(50, 1<<20))
			again := 0
			for {
				n := ordinalOf(m)
				if assert.Equal(t, seen[n]+1, m.Attempt(), "message %d", n); m.Redelivered() {
					again++
				}
				seen[n]++
				if len(seen) == total && again == credit {
					break
				}
				if len(seen) == total && slow != nil {
					require.NoError(t, slow.Close())
					slow = nil
				}
				m = recv(t, quick)
				assert.LessOrEqual(t, quick.Stats().Acks.UnackedIn, 50)
			}
			require.NoError(t, m.Ack())
			require.NoError(t, push.WaitAcked(limit(t)))
			assert.EqualValues(t, total, push.Stats().Acks.AckedOut)
		})
	}
}

// Rows 18 and 22: connections that end at any time lose nothing, also where the receiver has forgotten everything. There are no more duplicates than were on
// their way, and each says that it may be one.
func TestAck_NothingLostByCuts(t *testing.T) {
	t.Parallel()
	const credit, total, every = 100, 5000, 250
	var mu sync.Mutex
	var last net.Conn
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		last = conn
		return conn, err
	}
	push := socket.NewPush(socket.WithAck(), socket.WithDialer(dial), swift())
	closing(t, push)
	opts := []socket.Option{socket.WithAck(), socket.WithAckCredit(credit, 1<<20)}
	pull := socket.NewPull(opts...)
	bound := bind(t, pull, "tcp://127.0.0.1:0")
	require.NoError(t, push.Connect(bound))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { numbered(t, push, 0, total, 64) })
	seen := make([]int, total)
	handled, distinct, cuts := 0, 0, 0
	for distinct < total {
		m := recv(t, pull)
		n := ordinalOf(m)
		if seen[n]++; seen[n] == 1 {
			distinct++
		} else {
			require.True(t, m.Redelivered(), "message %d came again as the first", n)
		}
		if handled++; handled%every != 0 {
			continue
		}
		if cuts++; cuts%5 == 0 { // all that the receiver knows is gone, and so is what it has not handled
			require.NoError(t, pull.Close())
			pull = socket.NewPull(opts...)
			bind(t, pull, bound)
			continue
		}
		mu.Lock()
		require.NoError(t, last.Close())
		mu.Unlock()
	}
	assert.LessOrEqual(t, handled-distinct, cuts*credit)
	for push.WaitAcked(soon(t)) != nil { // what comes a second time, and the last message
		if m, err := pull.Recv(try()); err == nil {
			require.Positive(t, seen[ordinalOf(m)])
		}
	}
	closing(t, pull)
	require.Eventually(t, func() bool { return push.Stats().Acks.UnackedOut == 0 }, sockettest.Timeout, time.Millisecond)
	assert.EqualValues(t, total, push.Stats().Acks.AckedOut)
}

// What had arrived when its connection ended is still received. It says that it may not be the first: its sender may have sent it elsewhere since.
func TestAck_ReceivedAfterItsConnection(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck())
	closing(t, pull)
	gone := watch(t, pull)
	push := socket.NewPush(socket.WithAck(), socket.WithLinger(0))
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	numbered(t, push, 0, 3, 8)
	arrive(t, pull, 3)
	_ = push.Close() // says what is lost
	gone(socket.Disconnected)
	for n := range 3 {
		m := recv(t, pull)
		assert.Equal(t, n, ordinalOf(m))
		assert.Equal(t, 2, m.Attempt())
	}
	assert.EqualValues(t, 3, pull.Stats().Acks.RedeliveredIn)
}
