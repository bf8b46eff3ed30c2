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
// so that back-pressure reaches the senders. If the context ends before, or would, the handler is not called: ErrThrottled, and the turn is that of the next.
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

// limiter hands out turns, in the order of asking. A turn is due gap after the one before; after a quiet while, up to slack of that is forgiven.
type limiter struct {
	gap, slack time.Duration
	front      chan struct{} // full while one of those that wait has the next turn; the others wait for that

	mu      sync.Mutex // guards the fields below
	next    time.Time  // when the next turn is due
	waiting int
}

// longest bounds what is added up to a Duration, which holds it a few times over.
const longest = float64(365 * 24 * time.Hour)

// newLimiter returns nil for a rate that is no bound.
func newLimiter(perSecond float64, burst int) *limiter {
	if !(perSecond > 0) { // NaN as well
		return nil
	}
	gap := time.Duration(min(float64(time.Second)/perSecond, longest))
	if gap == 0 { // beyond 1e9 a second
		return nil
	}
	burst = max(burst, 1)
	return &limiter{gap: gap, slack: time.Duration(min(float64(gap)*float64(burst-1), longest)), front: make(chan struct{}, 1)}
}

// wait waits for a turn, unless ctx would end before.
func (l *limiter) wait(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	wait, queued := l.ask(time.Now(), deadline)
	switch {
	case wait == 0:
		return nil
	case !queued:
		return patterns.RetryAfter(ErrThrottled, wait)
	case !l.queue(ctx):
		return patterns.RetryAfter(fmt.Errorf("%w: %w", ErrThrottled, context.Cause(ctx)), wait)
	}
	return nil
}

// ask takes a turn that is due, or returns the time until there is one. The caller then is among those that wait, if it has until then.
func (l *limiter) ask(now, deadline time.Time) (wait time.Duration, queued bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if earliest := now.Add(-l.slack); l.waiting == 0 && l.next.Before(earliest) {
		l.next = earliest
	}
	wait = max(l.next.Sub(now), 0) + time.Duration(min(float64(l.gap)*float64(l.waiting), longest))
	switch {
	case wait == 0:
		l.next = l.next.Add(l.gap)
	case deadline.IsZero() || !now.Add(wait).After(deadline):
		l.waiting++
		return wait, true
	}
	return wait, false
}

// queue waits for the turn of one that asked, and reports whether ctx lasted.
func (l *limiter) queue(ctx context.Context) (took bool) {
	select {
	case l.front <- struct{}{}:
		took = pass(ctx, time.Until(l.due()))
		l.leave(took)
		<-l.front
	case <-ctx.Done():
		l.leave(false)
	}
	return took
}

func (l *limiter) due() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// leave ends a wait. Without a turn taken, those behind move up.
func (l *limiter) leave(took bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if took {
		l.next = l.next.Add(l.gap)
	}
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
