package socket

import (
	"context"
	"math"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// RFC 37, 4.1: a peer reconnects with increasing, randomised delays. They make an outage hardly longer than it is: whoever waits for a peer to be restarted is not to wait as long again.
func TestRFC37_ReconnectPause(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 5 * time.Second
	lost := time.Unix(1000, 0)
	var o outage
	assert.Equal(t, lo, o.bound(lo, hi, lost), "the first pause, whatever came before")
	o.attempt(false, lost)
	for _, tc := range []struct{ gone, want time.Duration }{
		{0, 2 * lo},
		{time.Second, 2 * lo},
		{3 * time.Second, 300 * time.Millisecond},
		{10 * time.Second, time.Second},
		{50 * time.Second, hi},
		{math.MaxInt64, hi},
	} {
		assert.Equal(t, tc.want, o.bound(lo, hi, lost.Add(tc.gone)), "%s without anybody there", tc.gone)
	}
	for range 99 {
		o.attempt(false, lost)
	}
	assert.Equal(t, 2*lo, o.bound(lo, hi, lost), "however many attempts found nobody")
	assert.Equal(t, lo, (&outage{began: lost, attempts: 9, met: 8}).bound(lo, lo, lost.Add(time.Hour)), "both bounds may be the same")

	assert.Equal(t, 50*time.Millisecond, reconnectPause(lo, hi, false, 0.5), "drawn evenly")
	assert.Equal(t, hi/2, reconnectPause(lo, hi, true, 0), "after a protocol error")
	assert.Equal(t, hi*3/4, reconnectPause(lo, hi, true, 0.5))
}

// A peer that is there, and turns us down or soon hangs up, is asked ever more seldom, as each attempt costs it something.
func TestReconnect_PauseDoublesWhereSomebodyIsThere(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 5 * time.Second
	now := time.Unix(1000, 0)
	var o outage
	for _, want := range []time.Duration{lo, 2 * lo, 4 * lo, 8 * lo, 16 * lo, 32 * lo, hi, hi} {
		assert.Equal(t, want, o.bound(lo, hi, now))
		o.attempt(true, now)
		now = now.Add(20 * time.Second) // until that hung up: it was there
	}
	o.met = math.MaxInt
	assert.Equal(t, hi, o.bound(lo, hi, now))
	o.attempt(false, now)
	assert.Equal(t, hi, o.bound(lo, hi, now), "also when it is gone in between")
}

// The pause before a message is tried again doubles, and is drawn evenly below that.
func TestRetryPause(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Millisecond, 5 * time.Second
	for _, tc := range []struct {
		n      int
		random float64
		want   time.Duration
	}{
		{0, 0, 0},
		{0, 0.5, 50 * time.Millisecond},
		{1, 0.5, 100 * time.Millisecond},
		{4, 0.5, 800 * time.Millisecond},
		{5, 0.5, 1600 * time.Millisecond},
		{6, 0.5, 2500 * time.Millisecond},
		{31, 0.5, 2500 * time.Millisecond},
		{62, 0.5, 2500 * time.Millisecond},
		{math.MaxInt, 0.5, 2500 * time.Millisecond},
	} {
		assert.Equal(t, tc.want, retryPause(lo, hi, tc.n, tc.random), "%+v", tc)
	}
	assert.Equal(t, lo/2, retryPause(lo, lo, 9, 0.5), "min and max may be the same")
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

// A peer that comes back is reached soon: no attempt follows the one before later than a tenth of the time for which nobody has been there.
func TestReconnect_NoAttemptIsMuchLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var attempts []time.Duration // since began
		push := NewPush(WithDialer(func(context.Context, string, string) (net.Conn, error) {
			attempts = append(attempts, time.Since(began))
			return nil, syscall.ECONNREFUSED
		}))
		require.NoError(t, push.Connect("tcp://192.0.2.1:5555"))
		time.Sleep(40 * time.Second)
		require.NoError(t, push.Close())

		for i, at := range attempts[1:] {
			require.LessOrEqual(t, at-attempts[i], max(200*time.Millisecond, attempts[i]/10), "attempt at %s", at)
		}
		require.Less(t, len(attempts), 200, "about ten a second in the first two, and ever fewer")
	})
}
