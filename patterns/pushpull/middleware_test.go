package pushpull_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// The first middleware is outermost, each sees the delivery, and what one returns in place of the handler counts.
func TestMiddlewareGoesAroundTheHandler(t *testing.T) {
	t.Parallel()
	said := make(chan string, 10)
	errNotOnMondays := errors.New("not on Mondays")
	saying := func(name string) patterns.Middleware {
		return func(next patterns.Handler) patterns.Handler {
			return func(ctx context.Context, d *patterns.Delivery) error {
				assert.Equal(t, patterns.Work, d.Kind)
				assert.Equal(t, "Order", d.Name)
				assert.Equal(t, 1, d.Attempt)
				assert.NotNil(t, d.Peer)
				assert.Same(t, d.Envelope, patterns.FromContext(ctx))
				said <- name
				if d.Value.(*Order).Number == 0 {
					return errNotOnMondays
				}
				return next(ctx, d)
			}
		}
	}
	hook, errs := errorHook()
	p, w := pair(t, nil, []patterns.Option{patterns.WithMiddleware(saying("a"), saying("b")), patterns.WithMiddleware(saying("c")), hook})
	run(t, w, func(context.Context, Order) error { said <- "handler"; return nil })
	require.NoError(t, p.Send(within(t), Order{Number: 1}))
	for _, want := range []string{"a", "b", "c", "handler"} {
		assert.Equal(t, want, <-said)
	}
	require.NoError(t, p.Send(within(t), Order{}))
	assert.ErrorIs(t, <-errs, errNotOnMondays)
	assert.Equal(t, patterns.Counts{Handled: 1, Failed: 1}, settled(t, w, 2))

	bad := pushpull.NewProducer[Order](patterns.WithMiddleware(saying("x")))
	defer bad.Close()
	assert.ErrorIs(t, bad.Send(t.Context(), Order{}), socket.ErrOption)
}
