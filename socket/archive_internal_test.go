package socket

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The counters of a courier that follows another go on from those of that one, whether it is over yet or not.
func TestCourier_CountsOn(t *testing.T) {
	t.Parallel()
	first, second := newCourier(nil, retryPolicy{}, nil), newCourier(nil, retryPolicy{}, nil)
	first.counts, second.counts, second.prior = courierCounts{delivered: 3, settled: 2}, courierCounts{delivered: 1}, first
	want := courierCounts{delivered: 4, settled: 2}
	assert.Equal(t, want, second.counted())
	close(first.over)
	second.follow()
	assert.Equal(t, want, second.counted())
	assert.Nil(t, second.prior)
}
