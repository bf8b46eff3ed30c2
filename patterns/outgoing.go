package patterns

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Outgoing is a message about to be sent. It belongs to the Senders until the outermost has returned, and must not be kept.
type Outgoing struct {
	Kind     Kind
	Name     string          // as in Delivery
	Envelope *codec.Envelope // complete but for the body, which it has once the next Sender has returned; headers may be set
	Value    any             // a pointer to what the body is made of, or the value itself; not to be changed
	Reply    *codec.Envelope // of a Call, once the next Sender has returned: the answer, nil if none came

	transmit func(ctx context.Context) error
}

// NewOutgoing returns a message that transmit encodes and sends. The three ways make their own: it is for tests of SendMiddleware,
// and for code that sends on other ways.
func NewOutgoing(transmit func(ctx context.Context) error) *Outgoing {
	return &Outgoing{transmit: transmit}
}

// Sender sends a message, on the caller's goroutine. It returns once the message is queued or refused; for a Call, once it was
// answered or failed.
type Sender func(ctx context.Context, o *Outgoing) error

// SendMiddleware does something around a Sender: sets headers, observes, refuses. It is called once for each Sender it goes around,
// when that is made; the Sender it returns is called by several goroutines at once. Calling the next Sender again
// sends the message again, under the same id. The context it passes on decides how long is waited. If it returns nil where the next
// Sender was not called, or failed, so does Send or Publish; a Call to which no answer came is an error still.
type SendMiddleware func(next Sender) Sender

// Around returns a Sender that passes each message through the middleware, the first one outermost, and then transmits it.
func Around(middleware ...SendMiddleware) Sender {
	send := Sender(func(ctx context.Context, o *Outgoing) error { return o.transmit(ctx) })
	for i := len(middleware) - 1; i >= 0; i-- {
		send = middleware[i](send)
	}
	return send
}

// WithSendMiddleware puts middleware around what a Producer, Client or Publisher sends, the first one outermost. Given again, it adds
// more within. The replies of a Service do not pass through it: they are the end of what WithMiddleware is around.
func WithSendMiddleware(around ...SendMiddleware) Option {
	return func(cfg *conf.Config) error {
		for i, m := range around {
			if m == nil {
				return fmt.Errorf("%w: WithSendMiddleware: number %d is nil, want a function", socket.ErrOption, i+1)
			}
			cfg.SendMiddleware = append(cfg.SendMiddleware, m)
		}
		return cfg.Check("WithSendMiddleware", conf.SendMiddleware)
	}
}
