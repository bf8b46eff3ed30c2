package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
)

// ErrThrottled means that the rate did not allow the message before its context ended. It says when to come back, as patterns.Pause tells.
var ErrThrottled = errors.New("throttled")

// Throttle lets handlers begin at most perSecond times a second on average, and burst times at once after a quiet while; less than 1
// burst is 1, and a rate of 0 or less is no bound. It waits for its turn, in the order of asking, on the goroutine that took the message,
// so that back-pressure reaches the senders. If the context ends before, or would, the handler is not called: ErrThrottled.
func Throttle(perSecond float64, burst int) patterns.Middleware {
	l := newLimiter(perSecond, burst)
	return func(next patterns.Handler) patterns.Handler {
		if l == nil {
			return next
		}
		return func(ctx context.Context, d *patterns.Delivery) error {
			if err := l.wait(ctx); err != nil {
				return err
			}
			return next(ctx, d)
		}
	}
}

// ThrottleSends is Throttle for what is sent.
func ThrottleSends(perSecond float64, burst int) patterns.SendMiddleware {
	l := newLimiter(perSecond, burst)
	return func(next patterns.Sender) patterns.Sender {
		if l == nil {
			return next
		}
		return func(ctx context.Context, o *patterns.Outgoing) error {
			if err := l.wait(ctx); err != nil {
				return err
			}
			return next(ctx, o)
		}
	}
}

// limiter hands out turns. A turn is due gap after the one before; after a quiet while, up to slack of that is forgiven.
type limiter struct {
	gap, slack time.Duration

	mu   sync.Mutex // guards the field below
	next time.Time  // when the next turn would be due if nothing were forgiven
}

// newLimiter returns nil for a rate that is no bound.
func newLimiter(perSecond float64, burst int) *limiter {
	if !(perSecond > 0) { // NaN as well
		return nil
	}
	const longest = float64(365 * 24 * time.Hour) // a Duration holds it a few times over
	gap := time.Duration(min(float64(time.Second)/perSecond, longest))
	if gap == 0 { // beyond 1e9 a second
		return nil
	}
	burst = max(burst, 1)
	return &limiter{gap: gap, slack: time.Duration(min(float64(gap)*float64(burst-1), longest))}
}

// take takes a turn and returns the time until it is due. If that is longer than patience, it takes none, and returns it as late. Negative
// patience is endless.
func (l *limiter) take(now time.Time, patience time.Duration) (wait, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := l.next
	if earliest := now.Add(-l.slack); due.Before(earliest) {
		due = earliest
	}
	wait = max(due.Sub(now), 0)
	if patience >= 0 && wait > patience {
		return 0, wait
	}
	l.next = due.Add(l.gap)
	return wait, 0
}

// wait waits for a turn. One that ctx does not last for is not taken; one that ctx ends during is lost.
func (l *limiter) wait(ctx context.Context) error {
	now := time.Now()
	patience := time.Duration(-1)
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(deadline.Sub(now), 0)
	}
	wait, late := l.take(now, patience)
	if late > 0 {
		return patterns.RetryAfter(ErrThrottled, late)
	}
	if wait > 0 && !pass(ctx, wait) {
		return patterns.RetryAfter(fmt.Errorf("%w: %w", ErrThrottled, context.Cause(ctx)), wait)
	}
	return nil
}

// pass waits, and reports whether ctx lasted.
func pass(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
