package patterns

import (
	"fmt"
	"strconv"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// Headers that say when and before what a message is handled.
const (
	// HeaderNotBefore is when the message may be sent at the earliest: milliseconds since 1970, in decimal.
	HeaderNotBefore = "not-before"
	// HeaderPriority is the name of its Priority.
	HeaderPriority = "priority"
)

// Lanes is how many priorities there are: few enough that one knows what each is for.
const Lanes = 3

// Priority says which messages are handled first.
type Priority int8

// The priorities. A message without one is Normal.
const (
	Low Priority = iota - 1
	Normal
	High
)

var priorities = [Lanes]string{"low", "normal", "high"}

// String returns the priority in lower case.
func (p Priority) String() string {
	if p < Low || p > High {
		return fmt.Sprintf("priority %d", int8(p))
	}
	return priorities[p-Low]
}

// WithPriority sets which messages are handled first, by workers that have WithPriorities. Default: Normal.
func WithPriority(p Priority) SendOption { return WithHeader(HeaderPriority, p.String()) }

// PriorityOf returns the priority in an envelope. One that does not exist is ErrMalformed.
func PriorityOf(e *codec.Envelope) (Priority, error) {
	name := e.Header(HeaderPriority)
	if name == "" {
		return Normal, nil
	}
	for i, known := range priorities {
		if name == known {
			return Low + Priority(i), nil
		}
	}
	return Normal, fmt.Errorf("%w: header %s is %.20q, want one of %q", ErrMalformed, HeaderPriority, name, priorities)
}

// WithDelay is WithNotBefore, that much time after the time the message bears.
func WithDelay(d time.Duration) SendOption {
	return func(e *codec.Envelope) { setNotBefore(e, e.Time.Add(d)) }
}

// WithNotBefore has the message sent at that time at the earliest, to the millisecond, by the clock of its Producer, which keeps it until then: in its spool if it
// has one, else in memory. The clock is looked at when the Producer takes the message, or finds it in its spool: to set it later makes nothing come earlier or
// later. Other senders have no use for it. Default: at once.
func WithNotBefore(at time.Time) SendOption {
	return func(e *codec.Envelope) { setNotBefore(e, at) }
}

func setNotBefore(e *codec.Envelope, at time.Time) {
	e.SetHeader(HeaderNotBefore, strconv.FormatInt(at.UnixMilli(), 10))
}

// NotBefore returns when a message may be sent at the earliest; the zero time is at once. It is an ErrMalformed if that is no number.
func NotBefore(e *codec.Envelope) (time.Time, error) {
	value := e.Header(HeaderNotBefore)
	if value == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: header %s is %.40q, want milliseconds since 1970", ErrMalformed, HeaderNotBefore, value)
	}
	return time.UnixMilli(ms), nil
}
