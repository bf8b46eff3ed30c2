package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOldest_AfterQuiet: the message that comes after all were acknowledged is not as old as the last of those.
func TestOldest_AfterQuiet(t *testing.T) {
	t.Parallel()
	s := &Spool{kick: make(chan struct{}, 1), soon: make(chan struct{}, 1)}
	c := &consumer{s: s, p: &position{floor: 1}, dated: 2, date: time.Now().Add(-time.Hour)}
	s.positions = map[string]*consumer{tokenOf(""): c, "audit": {s: s, p: &position{}}}
	s.safe.Store(2)
	look := func(last uint64) {
		state := jetstream.StreamState{FirstSeq: 1, LastSeq: last}
		s.note(state)
		s.date(t.Context(), state)
	}
	look(2)
	assert.Equal(t, c.date, c.Oldest())
	require.NoError(t, c.Ack(2, 2))
	look(2)
	assert.Zero(t, c.Oldest())
	s.safe.Store(3)
	assert.Zero(t, c.Oldest(), "until the next look")
}
