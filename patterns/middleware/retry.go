package middleware

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// RetryPolicy says how often and when Retry tries again. Its zero value is three attempts within about half a second.
type RetryPolicy struct {
	Attempts int           // in all; default 3, which outlasts a hiccup and does not hold up what waits behind
	First    time.Duration // longest pause before the second attempt; each further one is twice as long. Default 100 ms
	Max      time.Duration // longest pause of all; default 10 s
}

// Retry calls a handler that failed again, after a pause. It does so in this process, with the message in hand, and keeps the handler's place
// among those that run meanwhile: it is for links without acknowledgements, which bring nothing again, and for faults that pass in a
// moment. On acknowledged links let the sender's pauses do it. Delivery.Attempt counts its attempts, too.
//
// The pause is a random part of its longest (full jitter), so that those who failed together do not come back together; an error of
// patterns.RetryAfter sets the least. Retry ends with the handler's last error: when the attempts are used up, when it
// is patterns.ErrPermanent, as of a stream that has begun, or an answer to the caller (a *reqrep.Error, but for those of a service in trouble), or when the context ends or would end within the pause. Values must bear being handled
// twice: the handler is to leave them as they are.
func Retry(p RetryPolicy) patterns.Middleware {
	if p.Attempts < 1 {
		p.Attempts = 3
	}
	if p.First <= 0 {
		p.First = 100 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 10 * time.Second
	}
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			for try := 1; ; try++ {
				err := attempt(ctx, next, d)
				if err == nil || try == p.Attempts || final(d, err) || !sleep(ctx, p.pause(try, err)) {
					return err
				}
				d.Attempt++
			}
		}
	}
}

// final reports whether trying again would change nothing.
func final(d *patterns.Delivery, err error) bool {
	return errors.Is(err, patterns.ErrPermanent) || intake.IsAnswer(d.Kind, err)
}

// pause returns how long to wait after the attempt numbered try ended with err.
func (p RetryPolicy) pause(try int, err error) time.Duration {
	longest := p.First
	for range try - 1 {
		if longest >= p.Max/2 {
			longest = p.Max
			break
		}
		longest *= 2
	}
	least, _ := patterns.Pause(err)
	return max(least, 0) + rand.N(min(longest, p.Max)+1)
}

// sleep waits, and reports whether ctx lasted. It does not begin to wait for what ctx will not last.
func sleep(ctx context.Context, pause time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false
	}
	return pass(ctx, pause)
}

// attempt calls a handler. Its panic is an error.
func attempt(ctx context.Context, next patterns.Handler, d *patterns.Delivery) error {
	return intake.Attempt(func() error { return next(ctx, d) })
}
