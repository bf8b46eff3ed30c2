package middleware

import (
	"context"
	"time"

	"github.com/meshmq/meshmq/patterns"
)

// Timeout ends the handler's context after limit; 0 or less sets none. Ending its context is all it does: a handler that does not look at it
// keeps its place among those that run (WithConcurrency) until it returns, and what it returns counts. Going on without it would leave
// it at work unseen, beside the next attempt at the same message.
func Timeout(limit time.Duration) patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		if limit <= 0 {
			return next
		}
		return func(ctx context.Context, d *patterns.Delivery) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return next(ctx, d)
		}
	}
}
