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
// the socket's Recv takes does not get there. A Worker is safe for use by any number of goroutines, those of handlers too where
// a method does not say otherwise.
type Worker[T any] struct {
	*socket.Pull
	loop     *intake.Loop
	order    *intake.Order // nil: messages are handled in the order they come
	conf     conf.Config
	typeName string // that messages must name; "" for any
	err      error  // what the options did wrong
}

// defaultPrefetch keeps handlers busy that take a millisecond, and is little enough that a worker which joins finds something to do.
const defaultPrefetch = 256

// prefetchBytes bounds what is here of large messages: that of socket.WithAckCredit.
const prefetchBytes = 8 << 20

// workerUses are the options a Worker has a use for.
const workerUses = conf.Concurrency | conf.OnError | conf.AnyType | conf.Middleware | conf.AtLeastOnce | conf.Windowed | conf.Leased |
	conf.Prefetch | conf.KeyOrdered | conf.Priorities

// NewWorker returns a Worker. It uses nothing but the directory of a window until Bind or Connect; end it with Shutdown or Close.
func NewWorker[T any](opts ...patterns.Option) *Worker[T] {
	c, err := conf.Make("NewWorker", workerUses,
		conf.Config{Codec: codec.Msgpack, Concurrency: 1, OnError: patterns.LogError, Socket: []socket.Option{socket.WithPeerLimits()}}, opts)
	w := &Worker[T]{Pull: socket.NewPull(pulling(&c, reflect.TypeFor[T](), err)...), conf: c, err: err}
	w.loop = intake.New(w.Pull, c.OnError)
	if c.AtLeastOnce {
		w.loop.Acknowledged()
		w.loop.Credited(w.SetAckCredit, c.Prefetch, prefetchBytes)
		w.loop.Leased(c.Lease)
	} else {
		w.loop.Batched(w.Pull)
	}
	w.order = intake.NewOrder(w.loop, &c, c.Prefetch)
	if !c.AnyType {
		w.typeName = wire.NameOf(c.Schemas, reflect.TypeFor[T]())
	}
	return w
}

// pulling returns the options of a Worker's socket, those of the user last. It sets the prefetch.
func pulling(c *conf.Config, t reflect.Type, wrong error) (opts []socket.Option) {
	given := c.Prefetch > 0
	if !given {
		c.Prefetch = max(defaultPrefetch, 2*c.Concurrency)
		if c.Lease > 0 { // what is here waits behind handlers that hang
			c.Prefetch = c.Concurrency
		}
	}
	switch {
	case c.AtLeastOnce:
		opts = append(opts, socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(c.Prefetch, prefetchBytes), socket.WithLease(c.Lease))
	case given:
		opts = append(opts, socket.WithRecvHWM(c.Prefetch))
	}
	if c.Window != nil && wrong == nil { // which is not opened in vain
		opts = append(opts, socket.WithWindow(c.Window.Dir, c.Window.Options), socket.WithMessageID(messageID(c.Codec, t)))
	}
	return append(opts, c.Socket...)
}

// messageID returns by what a window knows messages of values of type t, whoever sends them and when. Bodies say that two messages differ only where equal values are equal bytes.
func messageID(c codec.Codec, t reflect.Type) func(socket.Msg) (id string, body []byte) {
	same := c == codec.JSON || c == codec.Raw || c == codec.Msgpack && ordered(t, map[reflect.Type]bool{})
	return func(m socket.Msg) (id string, body []byte) {
		var e codec.Envelope
		if len(m.Frames) != 1 || e.Decode(m.Frames[0]) != nil || e.ID.IsZero() {
			return "", nil
		}
		if !same || e.Codec != c.Name() {
			return e.ID.String(), []byte{}
		}
		return e.ID.String(), e.Body
	}
}

// ordered reports whether Msgpack has one order for all in values of type t: not if it may hold a map.
func ordered(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return true
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map, reflect.Interface:
		return false
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return ordered(t.Elem(), seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if !ordered(field.Type, seen) {
				return false
			}
		}
	}
	return true
}

// Run calls handler for each value that arrives, by as many goroutines as WithConcurrency says, until ctx ends, Shutdown or Close.
// It returns when all handlers have returned: nil, or what makes the Worker unusable. It may be called
// again, and several times at once.
//
// The context of a handler has the values of ctx and the message's envelope. It does not end with ctx: work in
// hand is finished, unless Close or the deadline of Shutdown ends its context. What handler returns,
// or panics with, is counted and reported, and ends nothing. With patterns.WithAtLeastOnce it also decides what becomes of the message.
//
// The context and the value are the handler's to keep. They may share memory with those of messages before and after: who keeps a hundred bytes of a value may
// keep three kilobytes, eight kilobytes or more up to 256, and who keeps a context those of 95. Bytes from eight kilobytes on are those that came, not a copy: what
// a handler changes in them before it fails the hook for errors sees changed.
func (w *Worker[T]) Run(ctx context.Context, handler func(ctx context.Context, v T) error) error {
	if w.err != nil {
		return fmt.Errorf("run: %w", w.err)
	}
	handle := intake.Wrap(w.conf.Middleware, func(ctx context.Context, d *patterns.Delivery) error {
		return handler(ctx, *d.Value.(*T))
	})
	handled := func(t *intake.Task) error { return w.loop.Do(t, handle) }
	switch {
	case w.order != nil:
		return w.order.Run(ctx, w.conf.Concurrency, intake.Steps{Open: w.open, Handle: handled})
	case len(w.conf.Middleware) == 0 && w.conf.Schemas == nil && w.conf.Lease == 0: // whose contexts are of each message
		return w.loop.Run(ctx, w.conf.Concurrency, func() intake.Handler { return newHand(w, handler).handle })
	}
	return w.loop.Run(ctx, w.conf.Concurrency, intake.Alike(func(ctx context.Context, m socket.Msg) {
		t, err := w.open(m)
		t.Scope.Context = ctx
		if err == nil {
			err = handled(t)
		} else {
			w.loop.Refuse(&t.Scope, m, t.Delivery.Envelope, err)
		}
		w.loop.Answer(m, err)
	}))
}

// task has all that a message needs in one object.
type task[T any] struct {
	intake.Task
	value T
}

// open reads a message. Where the envelope is sound and the value is not, or nobody wants it any more, it leaves the envelope and returns an error.
func (w *Worker[T]) open(m socket.Msg) (*intake.Task, error) {
	t := &task[T]{Task: intake.Task{Msg: m}}
	if err := soleFrame(m); err != nil {
		return &t.Task, err
	}
	if err := t.Open(patterns.Work, m.Frames[0]); err != nil {
		return &t.Task, err
	}
	if err := t.Fit(w.typeName); err != nil {
		return &t.Task, err
	}
	t.Delivery.Value = &t.value
	return &t.Task, wire.Decode(t.Delivery.Envelope, w.conf.Codec, w.conf.Schemas, &t.value)
}

func soleFrame(m socket.Msg) error {
	if n := len(m.Frames); n != 1 {
		return fmt.Errorf("%w: %d frames, want 1", patterns.ErrMalformed, n)
	}
	return nil
}

// Pause has no more messages handled until Resume; those in hand are finished, and Pause does not wait for them. With patterns.WithAtLeastOnce producers
// send nothing more, but to other workers; what had arrived, at most the prefetch, waits here. Without, what arrives waits until
// the socket has no more room, and then at the producers.
func (w *Worker[T]) Pause() { w.loop.Pause() }

// Resume ends a Pause, however often that was called. Neither waits for a handler or a peer.
func (w *Worker[T]) Resume() { w.loop.Resume() }

// Waiting returns how many messages wait here for a handler, in an order of their own: with patterns.WithKeyOrder or WithPriorities. Else none do, but
// in the socket. It does not block.
func (w *Worker[T]) Waiting() int {
	if w.order == nil {
		return 0
	}
	return w.order.Waiting()
}

// Counts returns how the messages fared. Each number is of its own moment: while handlers are at work they need not add up.
func (w *Worker[T]) Counts() patterns.Counts { return w.loop.Counts() }

// Drain listens no more and waits until all producers have left, while Run goes on; or until ctx ends, and then the error says
// how many there are. Producers leave when they are told to, as discovery.Follow does once an
// announcement is withdrawn: they write out what they have queued first. Withdraw, Drain and
// Shutdown, in this order, hence lose nothing. It must not be called by a handler, for which producers may wait.
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
//
// With patterns.WithAtLeastOnce it begins nothing more that producers would give to others: it finishes what is in hand, acknowledges it, and leaves.
func (w *Worker[T]) Shutdown(ctx context.Context) error { return w.loop.Shutdown(ctx) }

// Close ends the Worker now: the contexts of handlers end, and what waits for one is given up and counted. It does not
// wait for handlers, which Run does, and may be called by one. Closing again does nothing.
func (w *Worker[T]) Close() error { return w.loop.Close() }
