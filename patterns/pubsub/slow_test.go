package pubsub_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
)

// What a subscriber gets that handles nothing for a while is as its publisher's policy says; what it does not get is counted there, and the
// subscriber notices how much that is.
func TestSlowSubscribers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy socket.DropPolicy
		reason socket.DropReason // zero where nothing is dropped
		newest bool              // which the subscriber gets in the end
	}{
		"block":       {socket.Block, 0, true},
		"drop newest": {socket.DropNewest, socket.DropFull, false},
		"drop oldest": {socket.DropOldest, socket.DropFull, true},
		"conflate":    {socket.Conflate, socket.DropConflated, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pubsub.NewPublisher(pubsub.WithSequence(0), pubsub.WithSlowSubscribers(c.policy), patterns.WithSocketOptions(socket.WithSendHWM(4)))
			t.Cleanup(func() { p.Close() })
			at, err := p.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			hook, errs := errorHook()
			s := pubsub.NewSubscriber(pubsub.WithGapDetection(0), patterns.WithPrefetch(1), hook)
			got := make(chan uint32, 10_000)
			_, err = pubsub.Subscribe(s, "t", func(_ context.Context, _ string, body []byte) error {
				got <- binary.BigEndian.Uint32(body)
				return nil
			})
			require.NoError(t, err)
			s.Pause()
			require.NoError(t, s.Connect(at))
			require.NoError(t, p.WaitSubscribers(within(t), "t", 1))
			run(t, s)

			body, n := make([]byte, 64<<10), uint32(0)
			publish := func(ctx context.Context) error {
				binary.BigEndian.PutUint32(body, n)
				err := p.Publish(ctx, "t", body)
				if err == nil {
					n++
				}
				return err
			}
			if c.policy == socket.Block {
				for err == nil {
					moment, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					err = publish(moment)
					cancel()
				}
				require.ErrorIs(t, err, socket.ErrFull)
			} else {
				for p.Stats().Dropped[c.reason] < 10 {
					require.NoError(t, publish(within(t)))
				}
			}
			dropped := p.Stats().Dropped[c.reason]
			s.Resume()
			last := uint32(0)
			for i := range uint64(n) - dropped {
				if last = <-got; c.reason == 0 {
					require.EqualValues(t, i, last)
				}
			}
			assert.Equal(t, c.newest, last == n-1)
			require.NoError(t, publish(within(t)))
			assert.Equal(t, n-1, <-got, "it goes on")
			if c.reason == 0 {
				assert.Empty(t, p.Stats().Dropped)
				assert.Empty(t, errs)
				return
			}
			assert.Equal(t, map[socket.DropReason]uint64{c.reason: dropped}, p.Stats().Dropped)
			require.ErrorIs(t, <-errs, pubsub.ErrGap)
			assert.Equal(t, dropped, s.Gaps().Missing)
		})
	}
}
