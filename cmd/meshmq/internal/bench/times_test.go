package bench

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	trips := newTrips()
	for range 99 {
		trips.record(time.Millisecond)
	}
	few := trips.times()
	assert.InDelta(t, 1000, few.P90, 1)
	assert.Zero(t, few.P99)
	trips.record(time.Hour)
	more := trips.times()
	assert.InDelta(t, 60e6, more.Max, 60e3, "a minute is the most, and is not left out")
	assert.EqualValues(t, 100, more.Samples)
	assert.Positive(t, more.P99)
	assert.Zero(t, more.P999)
	assert.Zero(t, medianTimes([]Result{{Times: more}, {Times: few}, {Times: more}}).P99)

	var out bytes.Buffer
	all := []Result{{Pattern: Latency, Rate: 1, Times: few}}
	for _, write := range []func(io.Writer, []Result) error{WriteTable, WriteMarkdown, WriteCSV, WriteBenchstat, WriteJSON} {
		out.Reset()
		require.NoError(t, write(&out, all))
		assert.NotRegexp(t, `p99.9 us|p99-ns|"p99|1000\.\d+,0\.0`, out.String())
	}
}

// TestLatency_RateIsOfWholeIntervals: what was asked twice at 20 a second has come at 20 a second, and is too little for percentiles.
func TestLatency_RateIsOfWholeIntervals(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Patterns, c.Rate, c.Duration = []string{Latency}, 20, 100*time.Millisecond
	require.NoError(t, Run(t.Context(), c, func(r Result) error {
		assert.EqualValues(t, 2, r.Times.Samples)
		assert.LessOrEqual(t, r.Rate, 20.0)
		assert.Zero(t, r.Times.P99)
		return nil
	}))
}

// TestLatency_EndsAtARateThatCannotBe: what is due when the time is over is not asked.
func TestLatency_EndsAtARateThatCannotBe(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Patterns, c.Sizes, c.Frames, c.Rate, c.Duration = []string{Latency}, []int{64 << 10}, []int{1}, maxRate, 20*time.Millisecond
	require.NoError(t, Run(t.Context(), c, func(r Result) error {
		assert.Positive(t, r.Times.Samples)
		assert.Less(t, r.Times.Samples, int64(10000), "of the 20000 that are due")
		return nil
	}))
}
