package patterns

import (
	"fmt"
	"strconv"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// Headers that the patterns give a meaning.
const (
	// HeaderExpires is when nobody wants the message any more: milliseconds since 1970, in decimal.
	HeaderExpires = "expires"
	// HeaderKey is what messages are kept in order by.
	HeaderKey = "key"
)

// WithTTL has the message expire when that much time has passed since the time it bears. Receivers hand an expired message to no handler, but count and
// report it (ErrExpired), and acknowledge it, or for work make it a dead letter. It is their clock that decides. Zero and less have it expire at once.
func WithTTL(d time.Duration) SendOption {
	return func(e *codec.Envelope) { setExpiry(e, e.Time.Add(d)) }
}

// WithExpiry is WithTTL with a point in time, to the millisecond.
func WithExpiry(at time.Time) SendOption {
	return func(e *codec.Envelope) { setExpiry(e, at) }
}

func setExpiry(e *codec.Envelope, at time.Time) {
	e.SetHeader(HeaderExpires, strconv.FormatInt(at.UnixMilli(), 10))
}

// WithTime says when that happened which the message is about. It is the Time of its envelope. Default: now. Give it before WithTTL.
func WithTime(at time.Time) SendOption {
	return func(e *codec.Envelope) { e.Time = at }
}

// WithKey says what the message is about: an order's number, say. Receivers that ask for it get messages of one key in their order. Default: none.
func WithKey(key string) SendOption {
	return WithHeader(HeaderKey, key)
}

// Expired returns nil while somebody wants the message at the time now: if it has no expiry, or that is to come. It is an ErrExpired from then on,
// and an ErrMalformed if the expiry is no number.
func Expired(e *codec.Envelope, now time.Time) error {
	value := e.Header(HeaderExpires)
	if value == "" {
		return nil
	}
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: header %s is %.40q, want milliseconds since 1970", ErrMalformed, HeaderExpires, value)
	}
	if late := now.Sub(time.UnixMilli(ms)); late >= 0 {
		return fmt.Errorf("%w %v ago", ErrExpired, late)
	}
	return nil
}
