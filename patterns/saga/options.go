package saga

import (
	"context"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// Option sets one property of a Runner.
type Option func(*config) error

type config struct {
	concurrency      int
	lease            time.Duration
	pollMin, pollMax time.Duration
	codec            codec.Codec
	deadline         time.Duration
	hook             func(ctx context.Context, e Event)
	older            []any // each a *Definition of the runner's type
}

var defaults = config{
	concurrency: 16, // steps wait for others most of the time
	lease:       30 * time.Second,
	pollMin:     20 * time.Millisecond, pollMax: time.Second,
	codec: codec.Msgpack,
	hook:  Log,
}

func refuse(option string, value any, want string) error {
	return fmt.Errorf("%w: %s(%v): want %s", socket.ErrOption, option, value, want)
}

// WithConcurrency sets how many sagas the runner works on at a time, 1 or more. Default 16.
func WithConcurrency(n int) Option {
	return func(c *config) error {
		if c.concurrency = n; n < 1 {
			return refuse("WithConcurrency", n, "1 or more")
		}
		return nil
	}
}

// WithLease sets for how long a saga is the runner's unless it prolongs that, which it does three times as often: so long does it take until another one
// goes on after a crash. 100 ms or more. Default 30 s.
func WithLease(d time.Duration) Option {
	return func(c *config) error {
		if c.lease = d; d < 100*time.Millisecond {
			return refuse("WithLease", d, "100 ms or more")
		}
		return nil
	}
}

// WithPoll sets how long the runner waits before it looks for work again when there was none: twice as long each time, from min to max. Start and Resume on
// the same runner cut it short. Default 20 ms to 1 s.
func WithPoll(min, max time.Duration) Option {
	return func(c *config) error {
		if c.pollMin, c.pollMax = min, max; min <= 0 || max < min {
			return refuse("WithPoll", fmt.Sprint(min, ", ", max), "0 < min <= max")
		}
		return nil
	}
}

// WithCodec sets how values become bytes. Default codec.Msgpack. Sagas name the codec that wrote them, so it may be changed while some are under way.
func WithCodec(c codec.Codec) Option {
	return func(cfg *config) error {
		if cfg.codec = c; c == nil {
			return refuse("WithCodec", "nil", "a codec")
		}
		return nil
	}
}

// WithDeadline has a saga turn back that has not come to its end, or past its pivot, so long after its start: before the next attempt, with context.DeadlineExceeded for its reason. Default: none.
func WithDeadline(d time.Duration) Option {
	return func(c *config) error {
		if c.deadline = d; d <= 0 {
			return refuse("WithDeadline", d, "more than 0")
		}
		return nil
	}
}

// WithHook has f called with each Event, by whichever goroutine it happens on, hence by several at a time; it must not block. Default: Log. GivenUp is the alarm.
func WithHook(f func(ctx context.Context, e Event)) Option {
	return func(c *config) error {
		if c.hook = f; f == nil {
			return refuse("WithHook", "nil", "a function")
		}
		return nil
	}
}

// WithOlder has the runner finish sagas that were begun by other versions of its definition. Those that it starts are of the one it was made with.
func WithOlder[T any](definitions ...*Definition[T]) Option {
	return func(c *config) error {
		for _, d := range definitions {
			c.older = append(c.older, d)
		}
		return nil
	}
}
