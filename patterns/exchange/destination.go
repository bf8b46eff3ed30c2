package exchange

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// Destination is where messages go. It may be part of any number of bindings and routers.
type Destination struct {
	name string
	send func(ctx context.Context, m *Message) error
}

// String returns its name.
func (d *Destination) String() string { return d.name }

// To is a destination of the caller's: send is called with each message, by several goroutines at once, and must not keep the message. An error, or a panic, is one of
// Route. The name is for people, and for [Split].
func To(name string, send func(ctx context.Context, m *Message) error) *Destination {
	return &Destination{name, send}
}

// ToProducer hands the values of messages to workers. One that is not a T, or a pointer to one, is patterns.ErrType.
func ToProducer[T any](name string, p *pushpull.Producer[T]) *Destination {
	if p == nil {
		return To(name, nil)
	}
	return To(name, func(ctx context.Context, m *Message) error {
		v, err := valueOf[T](m)
		if err != nil {
			return err
		}
		return p.Send(ctx, v, m.option())
	})
}

// ToPublisher tells the values of messages to subscribers, under the messages' topics.
func ToPublisher(name string, p *pubsub.Publisher) *Destination {
	if p == nil {
		return To(name, nil)
	}
	return To(name, func(ctx context.Context, m *Message) error {
		return p.Publish(ctx, m.Topic, m.Value, m.option())
	})
}

// ToMethod calls a method of a service with the values of messages, and waits for the answer, with which it calls answer; that may be nil. A value that is not an In, or a pointer to
// one, is patterns.ErrType.
func ToMethod[In, Out any](name string, c *reqrep.Client, method string, answer func(ctx context.Context, out Out) error) *Destination {
	if c == nil {
		return To(name, nil)
	}
	return To(name, func(ctx context.Context, m *Message) error {
		in, err := valueOf[In](m)
		if err != nil {
			return err
		}
		out, err := reqrep.Call[In, Out](ctx, c, method, in, m.option())
		if err != nil || answer == nil {
			return err
		}
		return answer(ctx, out)
	})
}

// ErrLoop is the error for a message that came through too many routers: most likely they lead to each other.
var ErrLoop = errors.New("too many routers")

// maxHops is how many routers may lead to each other: more than people understand.
const maxHops = 16

// ToRouter routes messages on by the bindings of another Router.
func ToRouter(name string, r *Router) *Destination {
	if r == nil {
		return To(name, nil)
	}
	return To(name, func(ctx context.Context, m *Message) error {
		if m.hops == maxHops {
			return fmt.Errorf("%w: want at most %d", ErrLoop, maxHops)
		}
		m.hops++
		defer func() { m.hops-- }()
		return r.Route(ctx, m)
	})
}

func valueOf[T any](m *Message) (v T, err error) {
	switch value := m.Value.(type) {
	case T:
		return value, nil
	case *T:
		if value != nil {
			return *value, nil
		}
	}
	return v, fmt.Errorf("%w %T: want %s", patterns.ErrType, m.Value, reflect.TypeFor[T]())
}

// deliver calls send.
func (d *Destination) deliver(ctx context.Context, m *Message) error {
	return intake.Attempt(func() error { return d.send(ctx, m) })
}

// check returns what is wrong with a destination.
func (d *Destination) check() error {
	switch {
	case d == nil, d.send == nil:
		return errors.New("a destination leads nowhere")
	case d.name == "":
		return errors.New("a destination has no name")
	}
	return nil
}
