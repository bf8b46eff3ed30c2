package examples_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallsResilient(t *testing.T) {
	t.Parallel()
	lines := run(t, "calls-resilient")
	type numbers struct{ calls, failed, requests, first int }
	var got []numbers
	for i, what := range []string{
		"one fails, plain", "one fails, retries", "one fails, retries and breaker", "one hangs, hedged",
		"all fail, retries", "all fail, retries within a budget", "all fail, retries and breaker",
	} {
		require.Greater(t, len(lines), i)
		var n numbers
		_, err := fmt.Sscanf(lines[i], what+": %d calls, %d failed, %d requests, %d of them to the first", &n.calls, &n.failed, &n.requests, &n.first)
		require.NoError(t, err, lines[i])
		assert.Equal(t, 300, n.calls)
		got = append(got, n)
	}
	assert.Equal(t, 100, got[0].failed, "a third goes to the one that fails")
	assert.Zero(t, got[1].failed)
	assert.GreaterOrEqual(t, got[1].first, 50, "but it is asked still")
	assert.Zero(t, got[2].failed)
	assert.Equal(t, 5, got[2].first, "until its breaker opens")
	assert.Zero(t, got[3].failed)
	assert.Equal(t, 1200, got[4].requests, "a storm: four times the calls")
	assert.Less(t, got[5].requests, 400, "a tenth more, and the burst")
	assert.Less(t, got[6].requests, 20, "then nobody is asked any more")
	for _, n := range got[4:] {
		assert.Equal(t, 300, n.failed)
	}
}

func TestCallsStream(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"1 of app.log", "2 of app.log", "3 of app.log",
		"took 100 lines of an endless log; the service was at most ten ahead, and has stopped",
	}, run(t, "calls-stream"))
}

func TestCallsGather(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"Bern has 7, Oslo has 5, Rome has 3", "1 of 4 did not answer in time", "Bern 1.4, Lima 1.4, Oslo 1.4, Rome 1.4"}, run(t, "calls-gather"))
}
