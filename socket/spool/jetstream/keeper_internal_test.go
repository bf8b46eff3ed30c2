package jetstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// purged is a stream that notes up to where it was purged.
type purged struct {
	jetstream.Stream
	below uint64
}

func (p *purged) Purge(_ context.Context, opts ...jetstream.StreamPurgeOpt) error {
	var r jetstream.StreamPurgeRequest
	for _, opt := range opts {
		if err := opt(&r); err != nil {
			return err
		}
	}
	p.below = r.Sequence
	return nil
}

// TestTidy_KeepsWhatIsNotStored: messages go when all consumers have acknowledged them and their positions are stored, not sooner: else what was acknowledged
// since would be lost to a reader that comes after a crash, and told as a gap.
func TestTidy_KeepsWhatIsNotStored(t *testing.T) {
	t.Parallel()
	var stream purged
	o, err := Options{}.filled()
	require.NoError(t, err)
	s := &Spool{stream: &stream, options: o, ctx: t.Context(), positions: map[string]*consumer{
		"%":    {p: &position{floor: 20}, floor: 10},
		"fast": {p: &position{floor: 30}, floor: 25},
	}}
	last := purging{at: time.Now().Add(-time.Hour)}
	s.tidy(&last)
	assert.Equal(t, uint64(11), stream.below)
	assert.Equal(t, uint64(10), last.floor)
}

// TestFlush_LetsTheKeeperRest: who waits for positions that cannot be written does not have that tried again and again without a pause.
func TestFlush_LetsTheKeeperRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := away(t)
		s.finished.Go(func() { // ends with the spool
			for tries := 0; ; tries++ {
				s.at.Lock()
				stored := awaited(&s.stored)
				s.at.Unlock()
				if receive(s.ctx, stored) != nil {
					return
				}
				if !assert.Less(t, tries, 20) {
					s.cancel() // else time would stand still here
				}
			}
		})
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		err := s.Flush(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, nats.ErrDisconnected)
	})
}

// TestFlush_EndsWithClose: who waits for positions when the spool is closed without them is told so, and does not wait on.
func TestFlush_EndsWithClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := away(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		flushed := make(chan error)
		go func() { flushed <- s.Flush(ctx) }() // ends with its limit
		synctest.Wait()
		require.ErrorIs(t, s.Close(), nats.ErrDisconnected)
		require.ErrorIs(t, <-flushed, spool.ErrClosed)
		require.NoError(t, ctx.Err(), "it has waited for its limit")
	})
}

// away returns a spool with a keeper that has a position to write, and servers that are away.
func away(t *testing.T) *Spool {
	o, err := Options{}.filled()
	require.NoError(t, err)
	s := &Spool{
		nc: &nats.Conn{}, options: o, broken: make(chan struct{}), kick: make(chan struct{}, 1), soon: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		positions: map[string]*consumer{"%": {p: &position{}, changes: 1}},
	}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	s.finished.Add(1)
	go s.keep(0) // ends with the context of the spool
	t.Cleanup(func() {
		s.cancel()
		s.finished.Wait()
	})
	return s
}
