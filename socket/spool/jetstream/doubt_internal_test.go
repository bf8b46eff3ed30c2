package jetstream

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDoubt: what a server that has just come back may say for a moment ends nothing, what stays does; an account is without JetStream for minutes while somebody works on it.
func TestDoubt(t *testing.T) {
	t.Parallel()
	off := fmt.Errorf("info: %w", jetstream.ErrJetStreamNotEnabledForAccount)
	s := &Spool{broken: make(chan struct{})}
	var odd doubts
	say := func(times int, err error) {
		for range times {
			require.NoError(t, s.failure())
			assert.True(t, s.doubt(&odd, err, nil, "orders"))
		}
	}
	say(9, jetstream.ErrStreamNotFound)
	say(179, off)
	say(9, jetstream.ErrStreamNotFound)
	say(180, off)
	require.ErrorIs(t, s.failure(), errNoAccount)

	s, odd = &Spool{broken: make(chan struct{})}, doubts{}
	say(10, jetstream.ErrStreamNotFound)
	require.ErrorIs(t, s.failure(), errGone)
}
