package pushpull

import (
	"context"
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Worker handles values of type T. It embeds its socket: Bind and Connect lead to producers. Receive with Run: what
// the socket's Recv takes does not get there.
type Worker[T any] struct {
	*socket.Pull
	loop     *intake.Loop
	conf     conf.Config
	typeName string // that messages must name; "" for any
	err      error  // what the options did wrong
}

// NewWorker returns a Worker. It uses nothing until Bind or Connect; end it with Shutdown or Close.
func NewWorker[T any](opts ...patterns.Option) *Worker[T] {
	c, err := conf.Make("NewWorker", conf.Concurrency|conf.OnError|conf.AnyType|conf.Middleware,
		conf.Config{Codec: codec.Msgpack, Concurrency: 1, OnError: patterns.LogError}, opts)
	w := &Worker[T]{Pull: socket.NewPull(c.Socket...), conf: c, err: err}
	w.loop = intake.New(w.Pull, c.OnError)
	if !c.AnyType {
		w.typeName = wire.NameOf(c.Schemas, reflect.TypeFor[T]())
	}
	return w
}

// Run calls handler for each value that arrives, by as many goroutines as WithConcurrency says, until ctx ends, Shutdown or Close.
// It returns when all handlers have returned: nil, or what makes the Worker unusable. It may be called
// again, and several times at once.
//
// The context of a handler has the values of ctx and the message's envelope. It does not end with ctx: work in
// hand is finished, unless Close or the deadline of Shutdown ends its context. What handler returns,
// or panics with, is counted and reported, and ends nothing.
func (w *Worker[T]) Run(ctx context.Context, handler func(ctx context.Context, v T) error) error {
	if w.err != nil {
		return fmt.Errorf("run: %w", w.err)
	}
	handle := intake.Wrap(w.conf.Middleware, func(ctx context.Context, d *patterns.Delivery) error {
		return handler(ctx, *d.Value.(*T))
	})
	return w.loop.Run(ctx, w.conf.Concurrency, func(ctx context.Context, m socket.Msg) {
		t := &task[T]{Task: intake.Task{Context: ctx, Msg: m}}
		err := w.open(t)
		if err != nil {
			w.loop.Refuse(t, m, t.Delivery.Envelope, err)
		} else {
			err = w.loop.Do(&t.Task, handle)
		}
		w.loop.Answer(m, err)
	})
}

// task has all that a message needs in one object.
type task[T any] struct {
	intake.Task
	value T
}

// open reads a message. Where the envelope is sound and the value is not, it leaves the envelope and returns an error.
func (w *Worker[T]) open(t *task[T]) error {
	if n := len(t.Msg.Frames); n != 1 {
		return fmt.Errorf("%w: %d frames, want 1", patterns.ErrMalformed, n)
	}
	if err := t.Open(patterns.Work, t.Msg.Frames[0]); err != nil {
		return err
	}
	if err := wire.CheckType(t.Delivery.Envelope, w.typeName); err != nil {
		return err
	}
	t.Delivery.Value = &t.value
	return wire.Decode(t.Delivery.Envelope, w.conf.Codec, w.conf.Schemas, &t.value)
}

// Counts returns how the messages fared.
func (w *Worker[T]) Counts() patterns.Counts { return w.loop.Counts() }

// Drain listens no more and waits until all producers have left, while Run goes on; or until ctx ends, and then the error says
// how many there are. Producers leave when they are told to, as discovery.Follow does once an
// announcement is withdrawn: they write out what they have queued first. Withdraw, Drain and
// Shutdown, in this order, hence lose nothing.
func (w *Worker[T]) Drain(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events := w.Events(watching) // from before the first look
	for _, endpoint := range w.Stats().Endpoints {
		_ = w.Unbind(endpoint) // an error means that somebody else did
	}
	if producers(w.Stats()) == 0 {
		return nil
	}
	for e := range events {
		if e.Kind == socket.Disconnected && producers(w.Stats()) == 0 {
			return nil
		}
	}
	if ctx.Err() == nil { // closed meanwhile
		return nil
	}
	return fmt.Errorf("drain: %d producers are connected: %w", producers(w.Stats()), ctx.Err())
}

// producers counts those that are connected.
func producers(s socket.Stats) (n int) {
	for _, p := range s.Peers {
		if p.Connected {
			n++
		}
	}
	return n
}

// Shutdown ends the Worker in order: it leaves its producers, has Run handle all that has arrived, and returns when that is done. When
// ctx ends before, the contexts of the handlers end too, and the error says how many messages were in hand and
// how many no handler has seen. It must not be called by a handler, for which it would wait.
func (w *Worker[T]) Shutdown(ctx context.Context) error { return w.loop.Shutdown(ctx) }

// Close ends the Worker now: the contexts of handlers end, and what waits for one is given up and counted. It does not
// wait for handlers, which Run does, and may be called by one. Closing again does nothing.
func (w *Worker[T]) Close() error { return w.loop.Close() }
