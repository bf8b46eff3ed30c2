package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// RelayOption sets one property of a Relay.
type RelayOption func(*relayConfig) error

type relayConfig struct {
	lease              time.Duration
	batch              int
	pollMin, pollMax   time.Duration
	attempts           int
	retryMin, retryMax time.Duration
	keep               time.Duration
	wait               func(ctx context.Context) error
	hook               func(ctx context.Context, e Event)
}

var relayDefaults = relayConfig{
	lease:   10 * time.Second, // what a crash costs in time, and thirty times what a renewal should take
	batch:   256,              // one flush and one transaction for as many: see the spool's group commit
	pollMin: 20 * time.Millisecond, pollMax: time.Second,
	attempts: 10,
	retryMin: 100 * time.Millisecond, retryMax: 30 * time.Second,
	keep: 24 * time.Hour,
	hook: Log,
}

func refuse(option string, value any, want string) error {
	return fmt.Errorf("%w: %s(%v): want %s", socket.ErrOption, option, value, want)
}

// WithLease sets for how long a relay is the leader unless it prolongs that, which it does three times as often: so long does it take until
// another goes on after a crash. 100 ms or more. Default 10 s.
func WithLease(d time.Duration) RelayOption {
	return func(c *relayConfig) error {
		if c.lease = d; d < 100*time.Millisecond {
			return refuse("WithLease", d, "100 ms or more")
		}
		return nil
	}
}

// WithBatch sets how many messages are published between two looks at the table, 1 or more: after a crash as many are published again, at most.
// Fewer are taken when they have 8 MiB together. Default 256.
func WithBatch(n int) RelayOption {
	return func(c *relayConfig) error {
		if c.batch = n; n < 1 {
			return refuse("WithBatch", n, "1 or more")
		}
		return nil
	}
}

// WithPoll sets how long the relay waits before it looks again when there was nothing to do, or nobody took it: twice as long each time, from
// min to max. Wake and WithWait cut it short. Default 20 ms to 1 s.
func WithPoll(min, max time.Duration) RelayOption {
	return func(c *relayConfig) error {
		if c.pollMin, c.pollMax = min, max; min <= 0 || max < min {
			return refuse("WithPoll", fmt.Sprint(min, ", ", max), "0 < min <= max")
		}
		return nil
	}
}

// WithAttempts sets after how many failed attempts a message is parked. Zero means no limit. Default 10. Times at which nobody takes any message do not count.
func WithAttempts(n int) RelayOption {
	return func(c *relayConfig) error {
		if c.attempts = n; n < 0 {
			return refuse("WithAttempts", n, "0 (no limit) or more")
		}
		return nil
	}
}

// WithRetry sets the pause before another attempt at a message: drawn from the upper half of a bound that doubles from min to max. Default 100 ms to 30 s.
func WithRetry(min, max time.Duration) RelayOption {
	return func(c *relayConfig) error {
		if c.retryMin, c.retryMax = min, max; min <= 0 || max < min {
			return refuse("WithRetry", fmt.Sprint(min, ", ", max), "0 < min <= max")
		}
		return nil
	}
}

// WithKeep sets for how long published rows stay in the table, for people to look at. Zero deletes them at once. Default 24 h. Parked ones stay until Unpark.
func WithKeep(age time.Duration) RelayOption {
	return func(c *relayConfig) error {
		if c.keep = age; age < 0 {
			return refuse("WithKeep", age, "0 (delete at once) or more")
		}
		return nil
	}
}

// WithWait has wait called, on a goroutine of its own while the relay leads, again and again; when it returns nil the relay looks at the table at once. With PostgreSQL, it is
// where the driver waits for notifications of Outbox.Channel (see Outbox's WithNotify). It must return when its context ends. After an error it
// is called again in a while; the relay polls as without it.
func WithWait(wait func(ctx context.Context) error) RelayOption {
	return func(c *relayConfig) error {
		if c.wait = wait; wait == nil {
			return refuse("WithWait", "nil", "a function")
		}
		return nil
	}
}

// WithHook has f called with each Event, by the goroutines of Run; it must not block. Default: Log.
func WithHook(f func(ctx context.Context, e Event)) RelayOption {
	return func(c *relayConfig) error {
		if c.hook = f; f == nil {
			return refuse("WithHook", "nil", "a function")
		}
		return nil
	}
}
