package reqrep

import (
	"math/rand/v2"
	"time"
)

// By default a tenth of the calls may be repeated: in good times that is plenty, and in bad ones no storm. The burst is for clients that
// call seldom.
const (
	defaultRatio = 0.1
	defaultBurst = 10
)

// budgetPeriod is the time in which a budget's burst comes back.
const budgetPeriod = 10 * time.Second

// budget says how often a client may ask more than once. It is plain data under the client's lock.
type budget struct {
	ratio  float64
	burst  float64
	tokens float64   // Invariant: 0 <= tokens <= most()
	last   time.Time // when the time last added to them
}

// most keeps a long quiet time, or a long good one, from allowing a storm.
func (b *budget) most() float64 { return max(b.burst, 1) * (1 + 10*b.ratio) }

// earn notes a call.
func (b *budget) earn() { b.tokens = min(b.tokens+b.ratio, b.most()) }

// spend takes one more attempt out of the budget, if it is in there.
func (b *budget) spend(now time.Time) bool {
	if !b.last.IsZero() {
		b.tokens = min(b.tokens+b.burst*float64(now.Sub(b.last))/float64(budgetPeriod), b.most())
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// backoff returns the pause before attempt n+1, at random below twice that before attempt n.
func (p *policy) backoff(n int) time.Duration {
	limit := p.most
	if shift := n - 1; shift < 30 && p.pause<<shift>>shift == p.pause {
		limit = min(limit, p.pause<<shift)
	}
	return rand.N(limit) + 1
}
