// Package conf is what the options of the three patterns set. It is apart from package patterns so that the
// packages of the patterns can read it and users cannot.
package conf

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// Uses are the options that not every constructor has a use for.
type Uses uint

// A constructor states those it has a use for.
const (
	Concurrency Uses = 1 << iota
	OnError
	Source
	AnyType
	Middleware
	SendMiddleware
	Client  // options of package reqrep about calls
	Service // options of package reqrep about services
	Publishing
	Subscribing
	AtLeastOnce
	Spooled
	Windowed
	Leased
	Prefetch
	KeyOrdered
	Priorities
	DeadLetters
)

// Config is a constructor's configuration.
type Config struct {
	Codec       codec.Codec
	Source      string
	Concurrency int
	OnError     func(ctx context.Context, err error)
	AnyType     bool
	Middleware  []any // each a patterns.Middleware, which this package cannot name
	Socket      []socket.Option
	Calls       any // what package reqrep makes of its options

	SendMiddleware []any   // each a patterns.SendMiddleware
	Schemas        Schemas // nil for none
	Work

	Events Events

	maker string
	uses  Uses
}

// Schemas is patterns.Schemas, which this package cannot name either.
type Schemas interface {
	Name(t reflect.Type) string
	Encode(dst []byte, c codec.Codec, e *codec.Envelope, v any) ([]byte, error)
	Decode(c codec.Codec, e *codec.Envelope, v any) error
}

// Events is what package pubsub wants to know besides.
type Events struct {
	Exact    bool
	Numbered bool // with WithSequence
	Levels   int
	Last     bool // with WithLastValues
	Gaps     bool // with WithGapDetection
	Grace    time.Duration
	Durable  bool
}

// Make returns the configuration of the constructor named maker: defaults, then the options. The error names all
// options that are wrong.
func Make[O ~func(*Config) error](maker string, uses Uses, defaults Config, opts []O) (Config, error) {
	c := defaults
	c.maker, c.uses = maker, uses
	var errs []error
	for _, opt := range opts {
		errs = append(errs, opt(&c))
	}
	if c.Lease > 0 && (c.KeyOrder != nil || c.Priorities) {
		errs = append(errs, fmt.Errorf("%w: WithLease excludes WithKeyOrder and WithPriorities: leases would run out while messages wait for their turn here", socket.ErrOption))
	}
	return c, errors.Join(errs...)
}

// Check refuses an option that the constructor has no use for.
func (c *Config) Check(option string, use Uses) error {
	if c.uses&use == 0 {
		return fmt.Errorf("%w: %s has no use for %s", socket.ErrOption, c.maker, option)
	}
	return nil
}
