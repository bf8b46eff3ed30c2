package socket

// Placeholder bodies for the public surface; the engine replaces this file.

import (
	"context"
	"errors"
	"iter"
)

var errStub = errors.New("engine not in place yet")

type core struct{ config }

func newCore(opts []Option) core {
	c := core{defaultConfig()}
	for _, o := range opts {
		_ = o(&c.config)
	}
	return c
}

// Type returns the ZeroMQ socket type, such as "PUSH".
func (c *core) Type() string { return "" }

// Bind listens on endpoint and returns the real address (port 0 and wildcards resolved).
func (c *core) Bind(endpoint string) (string, error) { return "", errStub }

// Connect is asynchronous and never gives up; only malformed endpoints fail at once.
func (c *core) Connect(endpoint string) error { return errStub }

// Unbind stops listening; connections made stay.
func (c *core) Unbind(endpoint string) error { return errStub }

// Disconnect ends what Connect began: flushes for the linger period, then closes.
func (c *core) Disconnect(endpoint string) error { return errStub }

// Shutdown drains (until ctx ends), then closes; the error says what was left.
func (c *core) Shutdown(ctx context.Context) error { return errStub }

// Close lingers for at most the linger period, then closes. Idempotent.
func (c *core) Close() error { return errStub }

// Events streams events until ctx ends or the socket is closed.
func (c *core) Events(ctx context.Context) iter.Seq[Event] { return func(func(Event) bool) {} }

// Stats returns a snapshot.
func (c *core) Stats() Stats { return Stats{} }

// WaitPeers blocks until at least n peers are connected.
func (c *core) WaitPeers(ctx context.Context, n int) error { return errStub }

type sender struct{}

// Send queues one message of the given frames, which it copies; blocks at the high-water mark.
// ctx is looked at only when about to block (a cancelled ctx makes it a try).
func (s *sender) Send(ctx context.Context, frames ...[]byte) error { return errStub }

type receiver struct{}

// Recv returns the next message.
func (r *receiver) Recv(ctx context.Context) (Msg, error) { return Msg{}, errStub }

// Messages iterates over Recv; ends when ctx ends or the socket is closed (without an error then).
func (r *receiver) Messages(ctx context.Context) iter.Seq2[Msg, error] {
	return func(func(Msg, error) bool) {}
}

type subscriber struct{}

// Subscribe adds topic prefixes ("" is everything); counted.
func (s *subscriber) Subscribe(topics ...string) error { return errStub }

// Unsubscribe removes them.
func (s *subscriber) Unsubscribe(topics ...string) error { return errStub }

type publisher struct{}

// WaitSubscribers blocks until at least n peers have subscriptions that match topic.
func (p *publisher) WaitSubscribers(ctx context.Context, topic string, n int) error { return errStub }

type Push struct {
	core
	sender
}

func NewPush(opts ...Option) *Push { return &Push{core: newCore(opts)} }

type Pull struct {
	core
	receiver
}

func NewPull(opts ...Option) *Pull { return &Pull{core: newCore(opts)} }

type Req struct {
	core
	sender
	receiver
}

func NewReq(opts ...Option) *Req { return &Req{core: newCore(opts)} }

// Request sends and waits for the reply, one request at a time, callers queue.
func (r *Req) Request(ctx context.Context, frames ...[]byte) (Msg, error) { return Msg{}, errStub }

type Rep struct {
	core
	sender
	receiver
}

func NewRep(opts ...Option) *Rep { return &Rep{core: newCore(opts)} }

type Dealer struct {
	core
	sender
	receiver
}

func NewDealer(opts ...Option) *Dealer { return &Dealer{core: newCore(opts)} }

type Router struct {
	core
	sender
	receiver
}

func NewRouter(opts ...Option) *Router { return &Router{core: newCore(opts)} }

type Pub struct {
	core
	sender
	publisher
}

func NewPub(opts ...Option) *Pub { return &Pub{core: newCore(opts)} }

type Sub struct {
	core
	receiver
	subscriber
}

func NewSub(opts ...Option) *Sub { return &Sub{core: newCore(opts)} }

type XPub struct {
	core
	sender
	receiver
	publisher
}

func NewXPub(opts ...Option) *XPub { return &XPub{core: newCore(opts)} }

type XSub struct {
	core
	sender
	receiver
	subscriber
}

func NewXSub(opts ...Option) *XSub { return &XSub{core: newCore(opts)} }

type Pair struct {
	core
	sender
	receiver
}

func NewPair(opts ...Option) *Pair { return &Pair{core: newCore(opts)} }
