package pubsub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Subscriber handles events, as [Subscribe] tells it. It embeds its socket: Bind and Connect lead to publishers. Receive with Run: what
// the socket's Recv takes does not get to the handlers. A Subscriber, and a Subscription, is safe for use by any number of goroutines, those of handlers too where a method
// does not say otherwise.
type Subscriber struct {
	*socket.Sub
	loop  *intake.Loop
	conf  conf.Config
	gaps  *gaps         // nil without WithGapDetection
	order *intake.Order // nil: events are handled in the order they come
	err   error         // what the options did wrong

	mu      sync.RWMutex // guards the field below
	roster  roster
	changes atomic.Uint64 // of the roster
}

// Subscription is a pattern with its handler.
type Subscription struct {
	sub     *Subscriber
	pattern string
	filter  string // what publishers are asked for
	number  uint64 // in the order in which they subscribed
	ended   atomic.Bool
	handle  func(ctx context.Context, topic string, m socket.Msg, attempt int) error
	hire    func(ctx context.Context) reader // returns what handles the events of one goroutine
}

// subscriberUses are the options a Subscriber has a use for.
const subscriberUses = conf.Concurrency | conf.OnError | conf.AnyType | conf.Middleware | conf.Prefetch | conf.KeyOrdered | conf.Leased | conf.Subscribing

const (
	// defaultPrefetch is as for workers: handlers of a millisecond stay busy, and who joins a durable name finds something to do.
	defaultPrefetch = 256
	// prefetchBytes bounds what is here of large events: that of socket.WithAckCredit.
	prefetchBytes = 8 << 20
)

// NewSubscriber returns a Subscriber. It uses nothing until Bind or Connect; end it with Shutdown or Close.
func NewSubscriber(opts ...patterns.Option) *Subscriber {
	c, err := configure("NewSubscriber", subscriberUses,
		conf.Config{Codec: codec.Msgpack, Concurrency: 1, OnError: patterns.LogError, Socket: []socket.Option{socket.WithPeerLimits()}}, opts)
	s := &Subscriber{Sub: socket.NewSub(subscribingOptions(&c)...), conf: c, err: err}
	s.loop = intake.New(source{s}, c.OnError)
	if c.Events.Durable {
		s.loop.Acknowledged()
		s.loop.Credited(s.SetAckCredit, c.Prefetch, prefetchBytes)
		s.loop.Leased(c.Lease)
	}
	if c.Events.Gaps {
		s.gaps = newGaps(c.Events.Grace, s.missing)
	}
	s.order = intake.NewOrder(s.loop, &c, c.Prefetch)
	return s
}

// subscribingOptions returns the options of a Subscriber's socket, those of the user last. It sets the prefetch.
func subscribingOptions(c *conf.Config) (opts []socket.Option) {
	given := c.Prefetch > 0
	if !given {
		c.Prefetch = max(defaultPrefetch, 2*c.Concurrency)
		if c.Lease > 0 { // what is here waits behind handlers that hang
			c.Prefetch = c.Concurrency
		}
	}
	switch {
	case c.Events.Durable:
		opts = append(opts, socket.WithAckCredit(c.Prefetch, prefetchBytes))
	case given:
		opts = append(opts, socket.WithRecvHWM(c.Prefetch))
	}
	if c.Lease > 0 {
		opts = append(opts, socket.WithLease(c.Lease))
	}
	if c.Events.Durable && c.KeyOrder != nil {
		opts = append(opts, socket.WithKeyOrder())
	}
	return append(opts, c.Socket...)
}

// Subscribe has handler called for each event whose topic matches pattern, while s runs. It may be called at any time, WithDurable best before Connect and Bind: members of a name that differ for a moment are refused for that. Publishers
// learn of it a moment later. An event that matches several patterns is handled once for each, one
// after the other. The context of handler has the event's envelope. A malformed pattern is ErrTopic.
func Subscribe[T any](s *Subscriber, pattern string, handler func(ctx context.Context, topic string, v T) error) (*Subscription, error) {
	typeName := ""
	if !s.conf.AnyType {
		typeName = wire.NameOf(s.conf.Schemas, reflect.TypeFor[T]())
	}
	handle := intake.Wrap(s.conf.Middleware, func(ctx context.Context, d *patterns.Delivery) error {
		return handler(ctx, d.Name, *d.Value.(*T))
	})
	general := func(ctx context.Context, topic string, m socket.Msg, attempt int) error {
		t := &task[T]{Task: intake.Task{Msg: m, Scope: intake.Scope{Context: ctx}}}
		err := t.open(s, topic, typeName)
		t.Delivery.Attempt = attempt
		if err != nil {
			s.loop.Refuse(&t.Scope, m, t.Delivery.Envelope, err)
			return err
		}
		return s.loop.Do(&t.Task, handle)
	}
	sub := &Subscription{sub: s, pattern: pattern, handle: general}
	sub.hire = func(ctx context.Context) reader { return newKindReader(ctx, sub, typeName, handler).read }
	return s.add(sub)
}

// task has all that a handler needs of an event in one object.
type task[T any] struct {
	intake.Task
	value T
}

// open reads an event. Where the envelope is sound and the value is not, or nobody wants it any more, it leaves the envelope and returns an error.
func (t *task[T]) open(s *Subscriber, topic, typeName string) error {
	if err := t.Open(patterns.Event, t.Msg.Frames[1]); err != nil {
		return err
	}
	t.Delivery.Name, t.Delivery.Value = topic, &t.value
	if err := t.Fit(typeName); err != nil {
		return err
	}
	return wire.Decode(t.Delivery.Envelope, s.conf.Codec, s.conf.Schemas, &t.value)
}

func (s *Subscriber) add(sub *Subscription) (*Subscription, error) {
	if s.err != nil {
		return nil, fmt.Errorf("subscribe: %w", s.err)
	}
	if err := CheckPattern(sub.pattern); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	sub.filter = filter(sub.pattern, s.conf.Events.Exact)
	s.mu.Lock()
	s.roster.add(sub)
	s.changes.Add(1)
	s.mu.Unlock()
	if err := s.Sub.Subscribe(sub.topics()...); err != nil {
		s.remove(sub)
		return nil, err
	}
	return sub, nil
}

func (s *Subscriber) remove(sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roster.remove(sub)
	s.changes.Add(1)
}

// Unsubscribe ends the subscription: the handler is not called any more, but may be at work still. A second time it does nothing.
//
// WithDurable it says what the name wants from now on, so it is not for who leaves for a while: Shutdown and Close are, after which the name goes on where it was. Events that have come and wait here are
// others' of the name, if there are any, whose publishers refuse this Subscriber until those have ended it too. If it is alone, they are done with unless another pattern stands for them, as is what comes behind them in the log; but
// with the last pattern of all the name waits: what has come is handed back, and whoever of the name subscribes next gets it.
func (sub *Subscription) Unsubscribe() error {
	if sub.ended.Swap(true) {
		return nil
	}
	topics := sub.topics()
	slices.Reverse(topics) // with the pattern alone left, a publisher would pass over all that it means
	err := sub.sub.Sub.Unsubscribe(topics...)
	sub.sub.remove(sub) // publishers are told before events end here without a handler, each of which is acknowledged
	if g := sub.sub.gaps; g != nil {
		g.keep(func(common string) bool { return sub.sub.covers(common) })
	}
	return err
}

// Run calls the handlers of the events that arrive, for as many events at a time as WithConcurrency says, until ctx ends,
// Shutdown or Close. It returns when all handlers have returned: nil, or what makes the Subscriber
// unusable.
//
// The context of a handler has the values of ctx. It does not end with ctx: work in hand is finished, unless Close or the
// deadline of Shutdown ends its context. What a handler returns, or panics with, is counted and reported,
// and ends nothing. WithDurable it also decides what becomes of the event.
//
// The context and the value are the handler's to keep, and may share memory with those of others, as pushpull.Worker.Run says.
func (s *Subscriber) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("run: %w", s.err)
	}
	if s.gaps != nil {
		defer s.gaps.settle()
	}
	if s.conf.Events.Exact || s.conf.Events.Durable {
		watching, stop := context.WithCancel(context.WithoutCancel(ctx))
		var watch sync.WaitGroup
		watch.Go(func() { s.watch(watching) })
		defer watch.Wait()
		defer stop()
	}
	if s.order != nil {
		return s.order.Run(ctx, s.conf.Concurrency, intake.Steps{Open: s.open, Handle: func(t *intake.Task) error {
			return s.handle(t.Scope.Context, t.Delivery.Name, t.Msg, t.Delivery.Attempt)
		}})
	}
	if s.plain() {
		return s.loop.Run(ctx, s.conf.Concurrency, func() intake.Handler { return (&hand{s: s}).handle })
	}
	return s.loop.Run(ctx, s.conf.Concurrency, intake.Alike(s.dispatch))
}

// Pause has no more events handled until Resume; those in hand are finished, and Pause does not wait for them. What arrives waits in the socket, until that has no
// more room, and then at the publishers, as WithSlowSubscribers says there. With WithDurable nothing more is sent here: it goes to others of the name, or waits in the log; what had
// arrived, at most the prefetch, waits here.
func (s *Subscriber) Pause() { s.loop.Pause() }

// Resume ends a Pause, however often that was called. Neither waits for a handler or a peer.
func (s *Subscriber) Resume() { s.loop.Resume() }

// dispatch has one event handled, and answers for it.
func (s *Subscriber) dispatch(ctx context.Context, m socket.Msg) {
	topic, err := look(m)
	if err == nil {
		err = s.handle(ctx, topic, m, m.Attempt())
	} else {
		s.loop.Refuse(ctx, m, nil, err)
	}
	s.loop.Answer(m, err)
}

// open reads an event that is to be handled in another order.
func (s *Subscriber) open(m socket.Msg) (*intake.Task, error) {
	t := &intake.Task{Msg: m}
	topic, err := look(m)
	if err == nil {
		err = t.Open(patterns.Event, m.Frames[1])
	}
	t.Delivery.Name = topic
	return t, err
}

// handle gives one event to those whose pattern it matches, and returns what is to become of it. Others come too: a prefix is less exact than a
// pattern, and they end here without being decoded. With no pattern left it came under one that is, and goes back for whoever has it next.
func (s *Subscriber) handle(ctx context.Context, topic string, m socket.Msg, attempt int) (verdict error) {
	var room [8]*Subscription // more than most events are for
	s.mu.RLock()
	none := s.roster.n == 0
	to := s.roster.match(room[:0], topic)
	s.mu.RUnlock()
	if none {
		s.loop.Answer(m, errUnsubscribed) // the first answer counts: what is returned would have it tried again here
		return nil
	}
	return s.handOut(to, ctx, topic, m, attempt)
}

// handOut gives an event to each of several.
func (s *Subscriber) handOut(to []*Subscription, ctx context.Context, topic string, m socket.Msg, attempt int) (verdict error) {
	defer func() {
		if v := recover(); v != nil { // a bug of ours ends the process now
			panic(v)
		}
		if len(to) > 0 { // a handler ended the goroutine
			_ = s.handOut(to, ctx, topic, m, attempt)
		}
	}()
	for len(to) > 0 {
		sub := to[0]
		to = to[1:]
		verdict = worse(verdict, sub.handle(ctx, topic, m, attempt))
	}
	return verdict
}

// errUnsubscribed is what a publisher is told of events that are handed back.
var errUnsubscribed = errors.New("not subscribed to anything any more")

// look reads what is around the envelope of an event.
func look(m socket.Msg) (topic string, err error) {
	n := len(m.Frames)
	if n != 2 && n != 3 {
		return "", fmt.Errorf("%w: %d frames, want topic and envelope", patterns.ErrMalformed, n)
	}
	topic, err = topicOf(m.Frames[0])
	if err != nil {
		return "", fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
	}
	if n == 3 {
		_, err = parsePlace(m.Frames[2])
	}
	return topic, err
}

// fresh reports whether an event is to be handled, as far as numbers tell: it did not come before, nor was it taken for lost. What is malformed is left to
// others to say.
func (s *Subscriber) fresh(m socket.Msg) bool {
	if len(m.Frames) != 3 {
		return true
	}
	topic, err := look(m)
	if err != nil {
		return true
	}
	at, _ := parsePlace(m.Frames[2])
	common := commonOf(topic, at.levels)
	if len(common) < len(topic) && !s.covers(common) {
		return true
	}
	return s.gaps.take(common, at, m.Peer())
}

// covers reports whether we get all events whose topics begin with common: where it is all of a topic, it is enough that we got one.
func (s *Subscriber) covers(common string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.roster.covers(common)
}

// missing reports a gap.
func (s *Subscriber) missing(gap *GapError, peer *socket.Peer) {
	s.conf.OnError(context.Background(), patterns.NewError("receive", nil, peer.Address(), gap))
}

// Gaps returns what WithGapDetection found.
func (s *Subscriber) Gaps() GapCounts {
	if s.gaps == nil {
		return GapCounts{}
	}
	return s.gaps.counted()
}

// source is the socket as the loop sees it.
type source struct{ *Subscriber }

// Recv returns the next event that is to be handled.
func (s source) Recv(ctx context.Context) (m socket.Msg, err error) {
	if s.gaps == nil {
		return s.receive(ctx)
	}
	select {
	case s.gaps.turn <- struct{}{}:
	default:
		select {
		case s.gaps.turn <- struct{}{}:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
	defer func() { <-s.gaps.turn }()
	for {
		if m, err = s.receive(ctx); err != nil || s.fresh(m) {
			return m, err
		}
	}
}

// receive reports what a durable subscription will never get, and goes on.
func (s source) receive(ctx context.Context) (socket.Msg, error) {
	for {
		m, err := s.Sub.Recv(ctx)
		missed, ok := errors.AsType[*socket.MissedError](err)
		if !ok {
			return m, err
		}
		s.conf.OnError(context.WithoutCancel(ctx), patterns.NewError("receive", nil, missed.Peer.Address(), missed))
	}
}

func (s source) Shutdown(ctx context.Context) error { return s.Sub.Shutdown(ctx) }
func (s source) Close() error                       { return s.Sub.Close() }

// Counts returns how the events fared. One that was handled for several subscriptions counts for each.
func (s *Subscriber) Counts() patterns.Counts { return s.loop.Counts() }

// Shutdown ends the Subscriber in order: it leaves its publishers, has Run handle all that has arrived, WithDurable only what is with handlers, and returns when that is done. When
// ctx ends before, the contexts of the handlers end too, and the error says how many events were in hand and how
// many no handler has seen. It must not be called by a handler, for which it would wait.
func (s *Subscriber) Shutdown(ctx context.Context) error { return s.loop.Shutdown(ctx) }

// Close ends the Subscriber now: the contexts of handlers end, and what waits for one is given up and counted. It does not
// wait for handlers, which Run does, and may be called by one. Closing again does nothing.
func (s *Subscriber) Close() error { return s.loop.Close() }
