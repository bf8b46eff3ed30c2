package socket

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// RFC 37, 4.1: a peer reconnects with increasing, randomised delays.
func TestRFC37_RetryPause(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 5 * time.Second
	for _, tc := range []struct {
		n        int
		protocol bool
		random   float64
		want     time.Duration
	}{
		{0, false, 0, 0},
		{0, false, 0.5, 50 * time.Millisecond},
		{1, false, 0.5, 100 * time.Millisecond},
		{4, false, 0.5, 800 * time.Millisecond},
		{5, false, 0.5, 1600 * time.Millisecond},
		{6, false, 0.5, 2500 * time.Millisecond},
		{31, false, 0.5, 2500 * time.Millisecond},
		{62, false, 0.5, 2500 * time.Millisecond},
		{math.MaxInt, false, 0.5, 2500 * time.Millisecond},
		{0, true, 0, 2500 * time.Millisecond},
		{0, true, 0.5, 3750 * time.Millisecond},
		{9, true, 0.5, 3750 * time.Millisecond},
	} {
		assert.Equal(t, tc.want, retryPause(lo, hi, tc.n, tc.protocol, tc.random), "%+v", tc)
	}
	assert.Equal(t, lo/2, retryPause(lo, lo, 9, false, 0.5), "min and max may be the same")
}

// A peer that is restarted often is found again at once each time. A socket with an identity comes back ever more slowly, as another of that identity may.
func TestRetry_AfterAConnectionThatLasted(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 5 * time.Second
	for _, tc := range []struct {
		identity string
		lived    time.Duration
		want     bool
	}{
		{"", lo, false},
		{"", lo + 1, true},
		{"one", lo + 1, false},
		{"one", hi, false},
		{"one", hi + 1, true},
	} {
		d := &dialer{c: &core{cfg: config{identity: []byte(tc.identity), reconnectMin: lo, reconnectMax: hi}}}
		assert.Equal(t, tc.want, d.lasted(tc.lived), "%+v", tc)
	}
}
