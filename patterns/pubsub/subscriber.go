package pubsub

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Subscriber handles events, as [Subscribe] tells it. It embeds its socket: Bind and Connect lead to publishers. Receive with Run: what
// the socket's Recv takes does not get to the handlers.
type Subscriber struct {
	*socket.Sub
	loop *intake.Loop
	conf conf.Config
	err  error // what the options did wrong

	mu            sync.Mutex      // guards the field below
	subscriptions []*Subscription // replaced, never changed in place
}

// Subscription is a pattern with its handler.
type Subscription struct {
	sub     *Subscriber
	pattern string
	handle  func(ctx context.Context, topic string, m socket.Msg, e *codec.Envelope)
}

// NewSubscriber returns a Subscriber. It uses nothing until Bind or Connect; end it with Shutdown or Close.
func NewSubscriber(opts ...patterns.Option) *Subscriber {
	c, err := conf.Make("NewSubscriber", conf.Concurrency|conf.OnError|conf.AnyType,
		conf.Config{Codec: codec.Msgpack, Concurrency: 1, OnError: patterns.LogError}, opts)
	s := &Subscriber{Sub: socket.NewSub(c.Socket...), conf: c, err: err}
	s.loop = intake.New(s.Sub, c.OnError)
	return s
}

// Subscribe has handler called for each event whose topic matches pattern, while s runs. It may be called at any time; publishers
// learn of it a moment later. An event that matches several patterns is handled once for each, one
// after the other. The context of handler has the event's envelope. A malformed pattern is ErrTopic.
func Subscribe[T any](s *Subscriber, pattern string, handler func(ctx context.Context, topic string, v T) error) (*Subscription, error) {
	typeName := ""
	if !s.conf.AnyType {
		typeName = wire.NameOf(s.conf.Schemas, reflect.TypeFor[T]())
	}
	return s.add(pattern, func(ctx context.Context, topic string, m socket.Msg, e *codec.Envelope) {
		var v T
		err := wire.CheckType(e, typeName)
		if err == nil {
			err = wire.Decode(e, s.conf.Codec, s.conf.Schemas, &v)
		}
		if err != nil {
			s.loop.Refuse(ctx, m, e, err)
			return
		}
		s.loop.Settle(ctx, m, e, intake.Attempt(func() error { return handler(ctx, topic, v) }))
	})
}

func (s *Subscriber) add(pattern string, handle func(context.Context, string, socket.Msg, *codec.Envelope)) (*Subscription, error) {
	if s.err != nil {
		return nil, fmt.Errorf("subscribe: %w", s.err)
	}
	if err := CheckPattern(pattern); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	sub := &Subscription{sub: s, pattern: pattern, handle: handle}
	s.mu.Lock()
	s.subscriptions = append(slices.Clip(s.subscriptions), sub)
	s.mu.Unlock()
	if err := s.Sub.Subscribe(prefixOf(pattern)); err != nil {
		s.remove(sub)
		return nil, err
	}
	return sub, nil
}

// remove reports whether sub was there.
func (s *Subscriber) remove(sub *Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.subscriptions, sub)
	if i < 0 {
		return false
	}
	s.subscriptions = slices.Concat(s.subscriptions[:i], s.subscriptions[i+1:])
	return true
}

// Unsubscribe ends the subscription: the handler is not called any more, but may be at work still. A second time it does nothing.
func (sub *Subscription) Unsubscribe() error {
	if !sub.sub.remove(sub) {
		return nil
	}
	return sub.sub.Sub.Unsubscribe(prefixOf(sub.pattern))
}

// Run calls the handlers of the events that arrive, for as many events at a time as WithConcurrency says, until ctx ends,
// Shutdown or Close. It returns when all handlers have returned: nil, or what makes the Subscriber
// unusable.
//
// The context of a handler has the values of ctx. It does not end with ctx: work in hand is finished, unless Close or the
// deadline of Shutdown ends its context. What a handler returns, or panics with, is counted and reported,
// and ends nothing.
func (s *Subscriber) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("run: %w", s.err)
	}
	return s.loop.Run(ctx, s.conf.Concurrency, s.dispatch)
}

// dispatch gives one event to those whose pattern it matches. Others come too: a prefix is less exact than a
// pattern, and they end here without being decoded.
func (s *Subscriber) dispatch(ctx context.Context, m socket.Msg) {
	if len(m.Frames) != 2 {
		s.loop.Refuse(ctx, m, nil, fmt.Errorf("%w: %d frames, want topic and envelope", patterns.ErrMalformed, len(m.Frames)))
		return
	}
	topic := string(m.Frames[0])
	if err := CheckTopic(topic); err != nil {
		s.loop.Refuse(ctx, m, nil, fmt.Errorf("%w: %w", patterns.ErrMalformed, err))
		return
	}
	s.mu.Lock()
	subscriptions := s.subscriptions
	s.mu.Unlock()
	var e *codec.Envelope
	for _, sub := range subscriptions {
		if !Match(sub.pattern, topic) {
			continue
		}
		if e == nil {
			var err error
			if e, err = wire.Open(m.Frames[1]); err != nil {
				s.loop.Refuse(ctx, m, nil, err)
				return
			}
			ctx = patterns.NewContext(ctx, e)
		}
		sub.handle(ctx, topic, m, e)
	}
}

// Counts returns how the events fared. One that was handled for several subscriptions counts for each.
func (s *Subscriber) Counts() patterns.Counts { return s.loop.Counts() }

// Shutdown ends the Subscriber in order: it leaves its publishers, has Run handle all that has arrived, and returns when that is done. When
// ctx ends before, the contexts of the handlers end too, and the error says how many events were in hand and how
// many no handler has seen. It must not be called by a handler, for which it would wait.
func (s *Subscriber) Shutdown(ctx context.Context) error { return s.loop.Shutdown(ctx) }

// Close ends the Subscriber now: the contexts of handlers end, and what waits for one is given up and counted. It does not
// wait for handlers, which Run does, and may be called by one. Closing again does nothing.
func (s *Subscriber) Close() error { return s.loop.Close() }
