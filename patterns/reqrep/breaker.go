package reqrep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// ErrOpen says that instances are connected, but the breaker of each is open, so that nothing was sent. See WithBreaker.
var ErrOpen = errors.New("breakers of all instances are open")

// Breaker says when a client leaves an instance alone that fails, and when it comes back. The zero Breaker has all defaults.
//
// A breaker is closed at first, and calls go to its instance. It opens after too many failures: calls then pass the instance over. After a
// pause it is half open: a number of calls are let through as probes, never more. If all of them succeed it closes, if one
// fails it opens again. A probe that its caller cancels says nothing, and another may take its place.
type Breaker struct {
	Failures int           // in a row, that open it; default 5
	Ratio    float64       // of failures among the calls of Window that opens it too, above 0 to 1; default 0: not looked at
	MinCalls int           // results in Window, below which Ratio is not looked at; default 20
	Window   time.Duration // the past that Ratio is about, in tenths of it; default 10 s
	Pause    time.Duration // until probes are sent; default 5 s
	Probes   int           // default 1

	// Failed says whether an error of a call is a failure of its instance. Default: socket.ErrPeerGone, socket.ErrTimeout, and an
	// *Error with CodeInternal, CodeUnavailable, CodeOverloaded or CodeDeadline. What a caller cancelled is neither
	// failure nor success. It is called by several goroutines at once.
	Failed func(err error) bool
}

// BreakerState is that of the breaker of one instance.
type BreakerState uint8

// The states of a breaker.
const (
	Closed   BreakerState = iota // calls go to the instance; also where there is no breaker
	HalfOpen                     // probes do
	Open                         // none does
)

// String returns the state in lower case.
func (s BreakerState) String() string {
	switch s {
	case Closed:
		return "closed"
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// BreakerChange says that the breaker of an instance went from one state to another.
type BreakerChange struct {
	Endpoint string // the instance's, as given to Connect; the address of one that connected to us
	From, To BreakerState
	Time     time.Time
}

// WithBreaker gives each instance that a Client calls a circuit breaker. It belongs to the endpoint given to Connect, so an instance
// does not get rid of it by connecting anew. When the breakers of all instances are open, calls fail at once with ErrOpen. A breaker
// turns half open when a call looks for an instance, or CallStats does, not before. Default: none.
func WithBreaker(b Breaker) patterns.Option {
	return clientOption("WithBreaker", func(c *clientConfig) error {
		if b.Failures < 0 || b.MinCalls < 0 || b.Window < 0 || b.Pause < 0 || b.Probes < 0 || !(b.Ratio >= 0 && b.Ratio <= 1) {
			return fmt.Errorf("%w: WithBreaker(%+v): want no negative number, and a Ratio of at most 1", socket.ErrOption, b)
		}
		b.Failures, b.MinCalls, b.Probes = orElse(b.Failures, 5), orElse(b.MinCalls, 20), orElse(b.Probes, 1)
		b.Window, b.Pause = orElse(b.Window, 10*time.Second), orElse(b.Pause, 5*time.Second)
		if b.Failed == nil {
			b.Failed = failing
		}
		c.breaker = &b
		return nil
	})
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// WithOnBreaker has f called with each change of a breaker's state: one at a time, in the order of the changes, by the goroutine of some
// call. f may ask the Client for anything but calls, which wait for it.
func WithOnBreaker(f func(BreakerChange)) patterns.Option {
	return clientOption("WithOnBreaker", func(c *clientConfig) error {
		if f == nil {
			return fmt.Errorf("%w: WithOnBreaker(nil): want a function", socket.ErrOption)
		}
		c.onChange = f
		return nil
	})
}

// failing is the default of Breaker.Failed.
func failing(err error) bool {
	if answer, ok := errors.AsType[*Error](err); ok {
		switch answer.Code {
		case CodeInternal, CodeUnavailable, CodeOverloaded, CodeDeadline:
			return true
		}
		return false
	}
	return errors.Is(err, socket.ErrPeerGone) || errors.Is(err, socket.ErrTimeout)
}

// Verdicts on a try, in the form that a gobreaker takes.
var (
	verdictGood error
	errFailure  = errors.New("failure")
	errNeutral  = errors.New("no verdict")
)

// verdict returns what err says of the instance.
func (b *Breaker) verdict(err error) error {
	switch {
	case err == nil:
		return verdictGood
	case b == nil, errors.Is(err, context.Canceled), errors.Is(err, socket.ErrClosed):
		return errNeutral
	case b.Failed(err):
		return errFailure
	}
	return verdictGood
}

// tenths is how many parts the window of a breaker moves in: few enough to be cheap, enough for no jump to be large.
const tenths = 10

type breaker = gobreaker.TwoStepCircuitBreaker[struct{}]

// make returns the breaker of an instance. changed is called whenever its state changes, by who asked or reported.
func (b *Breaker) make(endpoint string, changed func(BreakerChange)) *breaker {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(b.Probes),
		Interval:     b.Window,
		BucketPeriod: max(b.Window/tenths, 1),
		Timeout:      b.Pause,
		ReadyToTrip:  b.trips,
		IsExcluded:   func(err error) bool { return err == errNeutral },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			changed(BreakerChange{Endpoint: endpoint, From: stateOf(from), To: stateOf(to), Time: time.Now()})
		},
	})
}

func (b *Breaker) trips(c gobreaker.Counts) bool {
	results := c.TotalFailures + c.TotalSuccesses
	return c.ConsecutiveFailures >= uint32(b.Failures) ||
		b.Ratio > 0 && results >= uint32(b.MinCalls) && float64(c.TotalFailures) >= b.Ratio*float64(results)
}

func stateOf(s gobreaker.State) BreakerState {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	}
	return Closed
}
