package pubsub_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket/spool"
)

// A paused subscriber handles later what came meanwhile, and Shutdown does not wait for Resume.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	p, s := pair(t)
	_, _, got := subscribe[Created](t, s, "orders.>")
	s.Pause()
	s.Pause()
	run(t, s)
	require.NoError(t, p.WaitSubscribers(within(t), "orders.>", 1))
	came := 0
	publish := func(numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			require.NoError(t, p.Publish(within(t), "orders.eu", Created{n}))
		}
		came += len(numbers)
		require.Eventually(t, func() bool { return s.Stats().Peers[0].MessagesIn == uint64(came) }, time.Minute, time.Millisecond)
	}
	publish(1, 2, 3)
	assert.Empty(t, got)
	s.Resume()
	for n := 1; n <= 3; n++ {
		assert.Equal(t, Created{n}, <-got)
	}
	s.Pause()
	publish(4)
	require.NoError(t, s.Shutdown(within(t)))
	assert.Equal(t, Created{4}, <-got)
}

// While a member of a durable name is paused, the others have its events. What it had goes on when it resumes.
func TestPausedMemberLeavesEventsToOthers(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, t.TempDir())
	member := func() (*pubsub.Subscriber, <-chan Created) {
		s := pubsub.NewSubscriber(pubsub.WithDurable("billing", spool.Beginning()), patterns.WithPrefetch(4))
		_, _, got := subscribe[Created](t, s, "orders.*")
		require.NoError(t, s.Connect(addr))
		run(t, s)
		return s, got
	}
	first, seen := member()
	require.NoError(t, p.Publish(within(t), "orders.eu", Created{0}))
	assert.Equal(t, Created{0}, <-seen)
	drained(t, p, "billing")
	first.Pause()
	second, others := member()
	const events = 60
	for n := 1; n <= events; n++ {
		require.NoError(t, p.Publish(within(t), "orders.eu", Created{n}))
	}
	require.Eventually(t, func() bool { return len(others)+first.Stats().Acks.UnackedIn >= events }, time.Minute, time.Millisecond)
	assert.Empty(t, seen)
	assert.LessOrEqual(t, first.Stats().Acks.UnackedIn, 4, "what was on its way at most")
	second.Pause()
	first.Resume()
	drained(t, p, "billing")
	assert.Equal(t, events, len(others)+len(seen))
}
