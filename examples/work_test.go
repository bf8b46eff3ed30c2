package examples_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the examples about work print. They end with an error when what they show does not hold.
func TestWork(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"competing-consumers": {"jobs done: 300 of 300", "all three worked: true"},
		"dead-letters": {
			"paid 500 to Anna", "paid 500 to Ben", `dead after attempt 1: no account "Zoë"`, "replayed: 1", "paid 500 to Zoë",
		},
		"poison-message": {
			"shrunk: 999", "put aside: 500.png after 3 attempts",
			"because: 3 deliveries failed, the last one: handler panicked: runtime error: index out of range [0] with length 0",
		},
		"monitor": {
			"stuck: 3 peers: 0", "order-desk has packed: 2 failed: 1", "stuck: 0 given up: 1", "trouble: orders dead letter: message 3: we have no cocoa",
		},
		"back-pressure":      {"accepted before anything was done: 20", "done: 500", "never more than the prefetch on the way: true"},
		"order-by-key":       {"made: map[anna:50 ben:50 carl:50]", "by worker: map[anna:0 ben:1 carl:1]", "tried again: 15", "in order: true"},
		"idempotent-handler": {"paid: 2000", "delivered again and dropped: true", "sent again and dropped: 20"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := run(t, name)
			for _, line := range want {
				assert.Contains(t, lines, line)
			}
		})
	}
}

// Retries are spread evenly, a tenth in each tenth of the pause; as a machine that is busy may hold some up, half of them at once is taken for a storm.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	lines := run(t, "retry-storm")
	counts := strings.TrimSuffix(with(lines, "retries in each tenth of the pause: [")[0], "]")
	sum, most := 0, 0
	for count := range strings.FieldsSeq(counts) {
		n, err := strconv.Atoi(count)
		require.NoError(t, err)
		sum, most = sum+n, max(most, n)
	}
	assert.Equal(t, 1000, sum)
	assert.Less(t, most, 500, counts)
}
