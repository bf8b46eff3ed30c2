package socket_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// TestSetSendHWM: it may be changed at any time, and nothing is lost by that.
func TestSetSendHWM(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(socket.WithSendHWM(5)), socket.NewPull()
	closing(t, push)
	endpoint := unused(t)
	require.NoError(t, push.Connect(endpoint)) // nobody is there: the queue is all there is
	put := func() (n int) {
		for push.Send(try(), ordinal(n, 8)) == nil {
			n++
		}
		return n
	}
	assert.Equal(t, 5, put())
	require.NoError(t, push.SetSendHWM(8))
	assert.Equal(t, 3, put())
	require.NoError(t, push.SetSendHWM(2))
	assert.Zero(t, put())
	waiting := make(chan error, 1)
	ctx := limit(t)
	go func() { waiting <- push.Send(ctx, ordinal(0, 8)) }()
	require.NoError(t, push.SetSendHWM(0))
	require.NoError(t, <-waiting, "whoever waits for room gets it")
	require.NoError(t, push.SetSendHWM(3))
	require.NoError(t, push.Connect(unused(t)))
	assert.Equal(t, 3, put(), "it holds for later peers, too")

	closing(t, pull)
	_, err := pull.Bind(endpoint)
	require.NoError(t, err)
	for range 9 {
		recv(t, pull)
	}
}

// TestSetSendHWM_Block: a publisher that waits for its subscribers drops nothing while the mark goes up and down.
func TestSetSendHWM_Block(t *testing.T) {
	t.Parallel()
	const messages = 10_000
	pub := socket.NewPub(socket.WithDropPolicy(socket.Block))
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	var subs []*socket.Sub
	for range 2 {
		sub := socket.NewSub()
		closing(t, sub)
		require.NoError(t, sub.Subscribe(""))
		require.NoError(t, sub.Connect(endpoint))
		subs = append(subs, sub)
	}
	closing(t, pub)
	require.NoError(t, pub.WaitSubscribers(limit(t), "", len(subs)))
	go func() {
		for i := range messages {
			if pub.Send(limit(t), ordinal(i, 8)) != nil {
				return
			}
		}
	}()
	var done, marks sync.WaitGroup
	over := make(chan struct{})
	marks.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			default:
				assert.NoError(t, pub.SetSendHWM(10+i%2*100))
				runtime.Gosched()
			}
		}
	})
	for _, sub := range subs {
		done.Go(func() {
			for i := range messages {
				m, err := sub.Recv(limit(t))
				if !assert.NoError(t, err) || !assert.Equal(t, i, ordinalOf(m)) {
					return
				}
			}
		})
	}
	done.Wait()
	close(over)
	marks.Wait()
	assert.Empty(t, pub.Stats().Dropped)
}

func TestSetSendHWM_BadInput(t *testing.T) {
	t.Parallel()
	push := socket.NewPush()
	closing(t, push)
	assert.ErrorIs(t, push.SetSendHWM(-1), socket.ErrOption)
	assert.ErrorContains(t, push.SetSendHWM(-1), "SetSendHWM(-1)")
	assert.ErrorIs(t, new(socket.Push).SetSendHWM(1), socket.ErrState)
	assert.NoError(t, push.Close())
	assert.NoError(t, push.SetSendHWM(1), "there is nothing it could apply to")
}

// TestSetSendHWM_Conflate: who is to get the last message only does not get more.
func TestSetSendHWM_Conflate(t *testing.T) {
	t.Parallel()
	pub, sub := socket.NewPub(socket.WithDropPolicy(socket.Conflate), socket.WithSendHWMBytes(0)), socket.NewSub(socket.WithRecvHWM(1))
	require.NoError(t, sub.Subscribe(""))
	require.NoError(t, pub.SetSendHWM(1000))
	join(t, "tcp", pub, sub)
	require.NoError(t, pub.WaitSubscribers(limit(t), "", 1))
	require.NoError(t, pub.SetSendHWM(1000))
	const n = 100
	for i := range n {
		require.NoError(t, pub.Send(limit(t), ordinal(i, 1<<20)))
	}
	got := 0
	for last := -1; last < n-1; got++ {
		last = ordinalOf(recv(t, sub))
	}
	assert.Less(t, got, n)
}

// What a higher mark has room for is read, from peers that were held back as well.
func TestSetRecvHWM_HoldsForPeersInUse(t *testing.T) {
	t.Parallel()
	const size = 1 << 20 // next to which the buffers of the system are small
	push, pull := socket.NewPush(socket.WithSendHWM(1), socket.WithSendHWMBytes(1)), socket.NewPull(socket.WithRecvHWM(2))
	closing(t, push, pull)
	require.NoError(t, push.Connect(bind(t, pull, fresh(t, "inproc"))))
	full := fill(t, push, size)
	require.NoError(t, pull.SetRecvHWM(full+10))
	for i := range 8 {
		require.NoError(t, push.Send(limit(t), ordinal(full+i, size)))
	}
	for i := range full + 8 {
		require.Equal(t, i, ordinalOf(recv(t, pull)))
	}
	assert.ErrorIs(t, pull.SetRecvHWM(-1), socket.ErrOption)
	assert.ErrorContains(t, pull.SetRecvHWM(-1), "SetRecvHWM(-1)")
	assert.ErrorIs(t, new(socket.Pull).SetRecvHWM(1), socket.ErrState)
	assert.NoError(t, push.SetRecvHWM(1), "there is nothing it could apply to")
}
