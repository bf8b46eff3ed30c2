package patterns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Option sets one property of a Producer, Worker, Client, Service, Publisher or Subscriber. An option with an impossible
// value, or one that the constructor has no use for, makes what is constructed unusable: the
// calls that send or run return an error, which is socket.ErrOption and names the option.
type Option func(*conf.Config) error

// WithCodec sets how values become bytes. Default codec.Msgpack. Messages name the codec that wrote them: receivers read what
// any of codec.ByName wrote, and what the codec given here wrote.
func WithCodec(c codec.Codec) Option {
	return func(cfg *conf.Config) error {
		if c == nil {
			return fmt.Errorf("%w: WithCodec(nil): want a codec", socket.ErrOption)
		}
		cfg.Codec = c
		return nil
	}
}

// WithSource sets the name of this service in the messages it sends: up to codec.MaxName bytes. Default: none.
func WithSource(name string) Option {
	return func(cfg *conf.Config) error {
		if len(name) > codec.MaxName {
			return fmt.Errorf("%w: WithSource(%.20q...): want at most %d bytes", socket.ErrOption, name, codec.MaxName)
		}
		cfg.Source = name
		return cfg.Check("WithSource", conf.Source)
	}
}

// WithConcurrency sets how many handlers run at the same time. A message is received only when a handler is free
// for it; what waits is bounded by the socket. Default 1 for Worker and Subscriber, which keeps
// the order of messages, and 64 for Service.
func WithConcurrency(n int) Option {
	return func(cfg *conf.Config) error {
		if n < 1 {
			return fmt.Errorf("%w: WithConcurrency(%d): want 1 or more", socket.ErrOption, n)
		}
		cfg.Concurrency = n
		return cfg.Check("WithConcurrency", conf.Concurrency)
	}
}

// WithOnError has f called with each *Error. The context is the handler's; it has the envelope if there
// is one. f is called on the goroutine that took the message, which takes no other meanwhile, hence by
// several at a time, and on others for what no message came of; it must not panic. Default: LogError.
func WithOnError(f func(ctx context.Context, err error)) Option {
	return func(cfg *conf.Config) error {
		if f == nil {
			return fmt.Errorf("%w: WithOnError(nil): want a function", socket.ErrOption)
		}
		cfg.OnError = f
		return cfg.Check("WithOnError", conf.OnError)
	}
}

// WithAnyType accepts messages whatever they name as their type. Without it a Worker or Subscriber refuses a message
// that names another type than its handler's, since codecs find some way to read most types as others.
func WithAnyType() Option {
	return func(cfg *conf.Config) error {
		cfg.AnyType = true
		return cfg.Check("WithAnyType", conf.AnyType)
	}
}

// WithSocketOptions sets properties of the socket within.
func WithSocketOptions(opts ...socket.Option) Option {
	return func(cfg *conf.Config) error {
		cfg.Socket = append(cfg.Socket, opts...)
		return nil
	}
}

// LogError reports err to slog.Default, and the stack if it is a panic's. It is the hook where no other is given.
func LogError(ctx context.Context, err error) {
	var stack []any
	if p, ok := errors.AsType[*PanicError](err); ok && p.Stack != nil {
		stack = []any{"stack", string(p.Stack)}
	}
	slog.ErrorContext(ctx, err.Error(), stack...)
}
