package middleware

import (
	"context"
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/patterns"
)

// Validator is a value that knows whether it is sound. The method may have a value or a pointer as its receiver.
type Validator interface{ Validate() error }

// Validate refuses messages whose value is a Validator and says that it is not sound: the error is patterns.ErrInvalid, and permanent,
// since trying again changes nothing. Values that are no Validator pass.
func Validate() patterns.Middleware {
	return validate(func(_ context.Context, v any) error { return sound(v) })
}

// ValidateFunc is Validate for values of type T, by a function; others pass. The function gets the value itself, which it must leave as
// it is.
func ValidateFunc[T any](check func(ctx context.Context, v *T) error) patterns.Middleware {
	return validate(func(ctx context.Context, v any) error {
		if v, ok := v.(*T); ok {
			return check(ctx, v)
		}
		return nil
	})
}

// ValidateSends is Validate for what is sent: a value that is not sound does not leave.
func ValidateSends() patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			if err := sound(o.Value); err != nil {
				return invalid(err)
			}
			return next(ctx, o)
		}
	}
}

func validate(check func(ctx context.Context, v any) error) patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			if err := check(ctx, d.Value); err != nil {
				return invalid(err)
			}
			return next(ctx, d)
		}
	}
}

// sound asks a value. A pointer to a pointer is what a handler of pointers has; a nil one has nobody to ask.
func sound(v any) error {
	for {
		if checked, ok := v.(Validator); ok {
			if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
				return nil
			}
			return checked.Validate()
		}
		p := reflect.ValueOf(v)
		if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Pointer {
			return nil
		}
		v = p.Elem().Interface()
	}
}

func invalid(err error) error {
	return patterns.Permanent(fmt.Errorf("%w: %w", patterns.ErrInvalid, err))
}
