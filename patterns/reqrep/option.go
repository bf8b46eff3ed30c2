package reqrep

import (
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// CallOption changes one call, or with WithCalls all calls of a client: one of this package, or a patterns.SendOption, which changes
// the envelope of the request. One with an impossible value is an error of the call, socket.ErrOption.
type CallOption interface {
	Change(e *codec.Envelope)
}

// callOption is a CallOption that is about the call, not about its request.
type callOption func(*policy) error

func (callOption) Change(*codec.Envelope) {}

// policy is how a call is made.
type policy struct {
	idempotent  bool
	retries     int
	pause, most time.Duration // between attempts
	patience    time.Duration // for one attempt; 0: all the time there is
	hedgeAfter  time.Duration
	hedges      int
	window      window
	changes     []CallOption // of the request
}

// Back-off between attempts: the first pause is about as long as a service needs to come back from a collection of garbage or a
// burst, the longest what a person who waits puts up with.
const (
	defaultPause = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// most attempts and hedges of one call: beyond, it is a retry storm by one call.
const (
	maxRetries = 100
	maxHedges  = 8
)

func newPolicy() policy {
	return policy{pause: defaultPause, most: longestPause, window: window{streamItems, streamBytes}}
}

// with returns the policy changed by opts.
func (p policy) with(opts []CallOption) (policy, error) {
	p.changes = p.changes[:len(p.changes):len(p.changes)]
	for i, opt := range opts {
		switch opt := opt.(type) {
		case nil:
			return p, fmt.Errorf("%w: option %d of the call is nil", socket.ErrOption, i+1)
		case callOption:
			if err := opt(&p); err != nil {
				return p, err
			}
		default:
			p.changes = append(p.changes, opt)
		}
	}
	return p, nil
}

// Idempotent declares that the method may be done more than once to the same effect as once. Only then are requests repeated whose fate is
// unknown (WithRetries, WithAttemptTimeout), or sent to several instances (WithHedge).
func Idempotent() CallOption {
	return callOption(func(p *policy) error { p.idempotent = true; return nil })
}

// WithRetries allows n attempts more, 0 to 100; default 0. What is repeated: a request that certainly was not done, which an *Error says
// that is Retryable; and for Idempotent calls also one whose instance went away, or that got no answer within WithAttemptTimeout. Any
// other answer of the service is final. Attempts have the same message id and say in the header "attempt" which they are; they go to another
// instance than the last where there is one. Pauses grow as WithBackoff says and end no later than the context; the client's
// WithRetryBudget limits all calls together.
func WithRetries(n int) CallOption {
	return callOption(func(p *policy) error {
		if n < 0 || n > maxRetries {
			return fmt.Errorf("%w: WithRetries(%d): want 0 to %d", socket.ErrOption, n, maxRetries)
		}
		p.retries = n
		return nil
	})
}

// WithBackoff sets the pauses before attempts: at random up to pause before the second, up to twice as much before the next, and so on up
// to longest ("full jitter", so that those who failed together do not return together). An error that says when to come again
// (Error.RetryAfter) is waited for at least so long. Default 50 ms and 2 s.
func WithBackoff(pause, longest time.Duration) CallOption {
	return callOption(func(p *policy) error {
		if pause <= 0 || longest < pause {
			return fmt.Errorf("%w: WithBackoff(%v, %v): want a pause above 0, and a longest one that is no shorter", socket.ErrOption, pause, longest)
		}
		p.pause, p.most = pause, longest
		return nil
	})
}

// WithAttemptTimeout has an attempt given up after d, so that what is left of the call's time can go to another: see WithRetries. Without
// Idempotent it has no effect, since the first attempt may still be under way. Default 0: an attempt may take all of the call's time.
func WithAttemptTimeout(d time.Duration) CallOption {
	return callOption(func(p *policy) error {
		if d < 0 {
			return fmt.Errorf("%w: WithAttemptTimeout(%v): want 0 (none) or more", socket.ErrOption, d)
		}
		p.patience = d
		return nil
	})
}

// WithHedge asks another instance as well if none has answered after that time, and again after as much more, up to max others (1 to
// 8). The first answer counts, and the requests to the others are cancelled. It costs little where after is what only the slowest few
// percent of calls exceed. Without Idempotent it has no effect. Hedges come out of the client's WithRetryBudget too.
func WithHedge(after time.Duration, max int) CallOption {
	return callOption(func(p *policy) error {
		if after <= 0 || max < 1 || max > maxHedges {
			return fmt.Errorf("%w: WithHedge(%v, %d): want a time above 0, and 1 to %d more instances", socket.ErrOption, after, max, maxHedges)
		}
		p.hedgeAfter, p.hedges = after, max
		return nil
	})
}

// WithStreamWindow bounds what a service may send of a stream ahead of the loop that takes it: up to items, and up to bytes of body with one item more.
// It bounds the memory at both ends. Default 64 items and 1 MiB.
func WithStreamWindow(items, bytes int) CallOption {
	return callOption(func(p *policy) error {
		if items < 1 || items > maxWindow || bytes < 1 || bytes > maxWindow {
			return fmt.Errorf("%w: WithStreamWindow(%d, %d): want 1 to %d of each", socket.ErrOption, items, bytes, maxWindow)
		}
		p.window = window{items, bytes}
		return nil
	})
}

// clientConfig is what the options of this package set of a Client.
type clientConfig struct {
	policy   policy
	breaker  *Breaker // nil: none
	onChange func(BreakerChange)
	ratio    float64
	burst    int
}

func clientOption(name string, set func(*clientConfig) error) patterns.Option {
	return func(cfg *conf.Config) error {
		if err := cfg.Check(name, conf.Client); err != nil {
			return err
		}
		return set(cfg.Calls.(*clientConfig))
	}
}

// WithCalls sets options for all calls of a Client. Those of a call come after them.
func WithCalls(opts ...CallOption) patterns.Option {
	return clientOption("WithCalls", func(c *clientConfig) (err error) {
		c.policy, err = c.policy.with(opts)
		return err
	})
}

// WithRetryBudget limits the retries and hedges of all calls of a Client together to the ratio of its calls, 0 to 1, and burst more in each
// ten seconds, so that a service in trouble is not asked several times as much for it. A call that may not be repeated for that reason
// returns the error that it got. Default 0.1 and 10. A ratio and burst of 0 allow none.
func WithRetryBudget(ratio float64, burst int) patterns.Option {
	return clientOption("WithRetryBudget", func(c *clientConfig) error {
		if !(ratio >= 0 && ratio <= 1) || burst < 0 {
			return fmt.Errorf("%w: WithRetryBudget(%v, %d): want a ratio of 0 to 1, and a burst of 0 or more", socket.ErrOption, ratio, burst)
		}
		c.ratio, c.burst = ratio, burst
		return nil
	})
}

// serviceConfig is what the options of this package set of a Service.
type serviceConfig struct {
	version string
	waiting int
}

func serviceOption(name string, set func(*serviceConfig) error) patterns.Option {
	return func(cfg *conf.Config) error {
		if err := cfg.Check(name, conf.Service); err != nil {
			return err
		}
		return set(cfg.Calls.(*serviceConfig))
	}
}

// WithVersion sets the version of the service that [GetInfo] tells, up to codec.MaxName bytes. Its name is that of patterns.WithSource.
func WithVersion(version string) patterns.Option {
	return serviceOption("WithVersion", func(c *serviceConfig) error {
		if len(version) > codec.MaxName {
			return fmt.Errorf("%w: WithVersion(%.20q...): want at most %d bytes", socket.ErrOption, version, codec.MaxName)
		}
		c.version = version
		return nil
	})
}

// WithWaiting sets how many requests may wait for a handler while patterns.WithConcurrency many are busy. What comes beyond is answered with
// CodeOverloaded at once, which clients may repeat elsewhere; 0 has none wait. Default 65,536. They may have 64 MiB together.
func WithWaiting(n int) patterns.Option {
	return serviceOption("WithWaiting", func(c *serviceConfig) error {
		if n < 0 {
			return fmt.Errorf("%w: WithWaiting(%d): want 0 or more", socket.ErrOption, n)
		}
		c.waiting = n
		return nil
	})
}
