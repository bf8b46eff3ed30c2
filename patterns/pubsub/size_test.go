package pubsub_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
)

// smallLimits are the two ways to take 2000 bytes at most.
var smallLimits = map[string]patterns.Option{
	"message": patterns.WithSocketOptions(socket.WithMaxMessageSize(2000)), "frame": patterns.WithSocketOptions(socket.WithMaxFrameSize(2000)),
}

// An event that one subscriber does not take is a drop of the publisher's and a gap to that one, which goes on; others get it.
func TestTooLarge_IsTold(t *testing.T) {
	t.Parallel()
	for name, limit := range smallLimits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook, errs := errorHook()
			_, wide := pair(t)
			numbered := pubsub.NewPublisher(pubsub.WithSequence(0))
			narrow := pubsub.NewSubscriber(limit, hook, pubsub.WithGapDetection(0))
			t.Cleanup(func() { numbered.Close(); narrow.Close() })
			at, err := numbered.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, narrow.Connect(at))
			require.NoError(t, wide.Connect(at))
			_, _, small := subscribe[string](t, narrow, "a")
			_, _, all := subscribe[string](t, wide, "a")
			require.NoError(t, numbered.WaitSubscribers(within(t), "a", 2))
			run(t, narrow)
			run(t, wide)
			for _, size := range []int{100, 3000, 101} {
				require.NoError(t, numbered.Publish(within(t), "a", strings.Repeat("x", size)))
				assert.Len(t, <-all, size)
			}
			assert.Len(t, <-small, 100)
			assert.Len(t, <-small, 101)
			require.ErrorIs(t, <-errs, pubsub.ErrGap)
			assert.Empty(t, errs)
			assert.Equal(t, map[socket.DropReason]uint64{socket.DropRefused: 1}, numbered.Stats().Dropped)
			assert.Zero(t, narrow.Stats().Peers[0].Reconnects)
		})
	}
}

// Of a publisher that does not ask what is taken a subscriber tells, and counts, that it lost an event with the connection.
func TestTooLarge_FromOthers(t *testing.T) {
	t.Parallel()
	for name, limit := range smallLimits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook, errs := errorHook()
			s := pubsub.NewSubscriber(limit, hook)
			subscribe[string](t, s, "a")
			other := socket.NewPub()
			t.Cleanup(func() { other.Close() })
			at, err := other.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			run(t, s)
			require.NoError(t, s.Connect(at))
			require.NoError(t, other.WaitSubscribers(within(t), "a", 1))
			require.NoError(t, other.Send(within(t), []byte("a"), make([]byte, 3000)))
			told := <-errs
			require.ErrorIs(t, told, socket.ErrTooLarge)
			require.ErrorContains(t, told, "receive from 127.0.0.1:")
			assert.Equal(t, patterns.Counts{Malformed: 1}, s.Counts())
		})
	}
}
