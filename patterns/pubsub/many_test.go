package pubsub_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/pubsub"
)

// What an event costs does not grow with the patterns that it is not for: each was compared with it, one after the other.
func TestSubscriber_ManyPatternsCostAnEventNothing(t *testing.T) {
	const events = 1000
	// took returns how long the handlers take to get so many events, each of them for one of n patterns.
	took := func(n int) time.Duration {
		p, s := pair(t)
		got := 0
		done := make(chan struct{})
		for i := range n {
			_, err := pubsub.Subscribe(s, fmt.Sprintf("orders.*.n%d", i), func(context.Context, string, Created) error {
				if got++; got == events {
					close(done)
				}
				return nil
			})
			require.NoError(t, err)
		}
		require.NoError(t, p.WaitSubscribers(within(t), "orders.eu.n0", 1))
		for i := range events { // as many as wait for a subscriber that does not run yet
			require.NoError(t, p.Publish(within(t), fmt.Sprintf("orders.eu.n%d", i%n), Created{i}))
		}
		begun := time.Now()
		run(t, s)
		<-done
		return time.Since(begun)
	}
	few := took(10)
	require.Less(t, took(5000), 10*few+50*time.Millisecond)
}
