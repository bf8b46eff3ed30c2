package socket

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Fault plan, row 28: the pause is evenly drawn below a bound that doubles up to the longest, and a thousand messages that failed together spread over it.
func TestRetryPolicy_Pauses(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	p := retryPolicy{min: 100 * time.Millisecond, max: 5 * time.Second, random: r.Float64}
	for n := 1; n <= 10; n++ {
		bound := min(p.max, p.min<<(n-1))
		var buckets [10]int
		for range 1000 {
			d := p.pause(n)
			require.True(t, d >= 0 && d < bound, "failure %d: %s", n, d)
			buckets[d*10/bound]++
		}
		for _, k := range buckets {
			assert.Less(t, k, 300, "failure %d", n)
		}
	}
}

// A refused message waits for as long as its receiver says, else for what the policy says, and is then delivered, or given up.
func TestAssured_RetrySchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		push, pull := NewPush(WithAck(), WithAttempts(5), WithRetry(time.Second, 4*time.Second)), NewPull(WithAck(), WithManualAck())
		defer push.Close()
		defer pull.Close()
		push.core.sure.retry.random = func() float64 { return 0.5 }
		_, err := pull.Bind("inproc://schedule")
		require.NoError(t, err)
		require.NoError(t, push.Connect("inproc://schedule"))
		require.NoError(t, push.Send(t.Context(), []byte("x")))
		last := time.Now()
		for n, want := range []time.Duration{0, time.Second / 2, time.Second, 7 * time.Second, 2 * time.Second} {
			m, err := pull.Recv(t.Context())
			require.NoError(t, err)
			require.Equal(t, n+1, m.Attempt())
			assert.Equal(t, want, time.Since(last), "attempt %d", n+1)
			last = time.Now()
			why := Nack{}
			if n == 2 {
				why = RetryAfter(7 * time.Second)
			}
			require.NoError(t, m.Nack(why))
		}
		require.NoError(t, push.WaitAcked(t.Context()))
		require.EqualValues(t, 1, push.Stats().Acks.DeadLettered)
	})
}
