package middleware

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// ErrOpen means that a Breaker did not call the handler. It says when to come back, as patterns.Pause tells.
var ErrOpen = errors.New("circuit breaker open")

// BreakerPolicy says when a Breaker opens and closes. Its zero value has the defaults.
type BreakerPolicy struct {
	Failures int           // so many in a row open it; default 5
	Pause    time.Duration // it stays open so long, then lets a few try; default 30 s
	Trials   int           // so many at once may try then, and as many successes in a row close it; default 1
	// OnChange is told the states "closed", "open" and "half-open". It must be quick, and leave the breaker alone.
	OnChange func(from, to string)
}

// Breaker stops calling a handler that keeps failing, which spares what it depends on, and returns ErrOpen at once instead. Each handler has a
// breaker of its own. What says nothing about the state of things does not count: patterns.ErrPermanent, which
// is the message's own fault, and an attempt whose context was cancelled. An answer to the caller of a call counts as success (a *reqrep.Error, but
// for those of a service in trouble).
//
// A message that meets an open breaker is a failed attempt. Acknowledged links bring it again, after the pause that is left; on others
// it is lost, unless Retry is around the Breaker. Throttle does not fail, and may serve better there.
func Breaker(p BreakerPolicy) patterns.Middleware {
	failures, trials := count(p.Failures, 5), count(p.Trials, 1)
	if p.Pause <= 0 {
		p.Pause = 30 * time.Second
	}
	return func(next patterns.Handler) patterns.Handler {
		var opened atomic.Pointer[time.Time]
		breaker := gobreaker.NewTwoStepCircuitBreaker[error](gobreaker.Settings{
			MaxRequests: trials,
			Timeout:     p.Pause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
			IsExcluded: func(err error) bool {
				return errors.Is(err, patterns.ErrPermanent) || errors.Is(err, context.Canceled)
			},
			OnStateChange: func(_ string, from, to gobreaker.State) {
				if to == gobreaker.StateOpen {
					now := time.Now()
					opened.Store(&now)
				}
				if p.OnChange != nil {
					p.OnChange(from.String(), to.String())
				}
			},
		})
		return func(ctx context.Context, d *patterns.Delivery) error {
			done, err := breaker.Allow()
			switch {
			case err == gobreaker.ErrOpenState:
				return patterns.RetryAfter(ErrOpen, max(p.Pause-time.Since(*opened.Load()), 0))
			case err != nil:
				return patterns.RetryAfter(ErrOpen, p.Pause/10) // those that try now will know by then
			}
			err = intake.ErrExit
			defer func() {
				if intake.IsAnswer(d.Kind, err) {
					done(nil)
				} else {
					done(err)
				}
			}()
			err = attempt(ctx, next, d)
			return err
		}
	}
}

// count returns n as gobreaker counts, or its default.
func count(n, otherwise int) uint32 {
	if n < 1 {
		n = otherwise
	}
	return uint32(min(n, math.MaxInt32))
}
