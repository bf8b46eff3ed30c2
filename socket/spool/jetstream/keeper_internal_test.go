package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
