package pushpull_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// within returns a context that ends after a time no test should need.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// settled waits until n messages were handled, failed or did not decode, and none is in hand.
func settled(t *testing.T, w interface{ Counts() patterns.Counts }, n int) patterns.Counts {
	t.Helper()
	var c patterns.Counts
	require.Eventually(t, func() bool {
		c = w.Counts()
		return c.Handled+c.Failed+c.Malformed >= uint64(n) && c.InHand == 0
	}, time.Minute, time.Millisecond)
	return c
}

// How long something may take that should take no time, and how often it is looked at.
const (
	timeout = time.Minute
	tick    = time.Millisecond
)
