package pubsub

import (
	"context"
	"hash/maphash"
	"strings"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// hand handles one event after the other, of topics that it mostly has seen before, where nothing but handlers is to see them.
type hand struct {
	s       *Subscriber
	changes uint64 // of the roster, that all below is of
	topics  *[maxTopics]known
	readers map[*Subscription]reader
}

// maxTopics is how many topics a hand knows: each by the place of its hash, for which others take it from it. They are a few kilobytes.
const maxTopics = 64

// known is a topic with those it is for.
type known struct {
	frame string // as it is on the wire
	topic string
	to    []*Subscription
	read  reader // of the only one
}

// reader has an event handled if it knows its kind, and reports whether it did, and whether nothing refers to its frames any more.
type reader func(topic string, m socket.Msg) (done, over bool)

var topicSeed = maphash.MakeSeed()

// plain reports whether nothing but handlers sees the events.
func (s *Subscriber) plain() bool {
	return len(s.conf.Middleware) == 0 && s.conf.Schemas == nil && !s.conf.Events.Durable
}

// handle is an intake.Handler.
func (h *hand) handle(ctx context.Context, m socket.Msg) (well, over bool) {
	k := h.find(ctx, &m)
	if k == nil || m.NeedsAck() {
		h.s.dispatch(ctx, m)
		return false, false
	}
	if k.read != nil {
		if done, over := k.read(k.topic, m); done {
			return false, over
		}
	}
	_ = h.s.handOut(k.to, ctx, k.topic, m, m.Attempt()) // it needs no answer
	return false, false
}

// find returns whom an event is for, nil if it is malformed.
func (h *hand) find(ctx context.Context, m *socket.Msg) *known {
	changes := h.s.changes.Load() // before the roster is asked
	if h.topics == nil || h.changes != changes {
		h.topics, h.readers, h.changes = new([maxTopics]known), map[*Subscription]reader{}, changes
	}
	if len(m.Frames) != 2 { // most are, and need no more than their topic looked at
		if _, err := look(*m); err != nil {
			return nil
		}
	}
	frame := m.Frames[0]
	k := &h.topics[maphash.Bytes(topicSeed, frame)%maxTopics]
	if k.frame == string(frame) && k.frame != "" {
		return k
	}
	name := string(frame)
	topic := strings.TrimSuffix(name, topicEnd)
	if CheckTopic(topic) != nil {
		return nil
	}
	k.frame, k.topic, k.read = name, topic, nil
	h.s.mu.RLock()
	k.to = h.s.roster.match(k.to[:0], topic)
	h.s.mu.RUnlock()
	if len(k.to) == 1 {
		k.read = h.reader(ctx, k.to[0])
	}
	return k
}

func (h *hand) reader(ctx context.Context, sub *Subscription) reader {
	if h.readers[sub] == nil {
		h.readers[sub] = sub.hire(ctx)
	}
	return h.readers[sub]
}

// kindReader reads the events of a subscription that one goroutine handles, in the same memory. Only a context, which has what the envelope is made of, and
// what the value refers to are new with each: the handler may keep them.
type kindReader[T any] struct {
	ctx      context.Context // that of the work
	sub      *Subscription
	typeName string // that events must name; "" for any
	handler  func(ctx context.Context, topic string, v T) error
	kinds    intake.Kinds
	decoder  *codec.Decoder[T]
	value    T
}

func newKindReader[T any](ctx context.Context, sub *Subscription, typeName string, handler func(context.Context, string, T) error) *kindReader[T] {
	return &kindReader[T]{ctx: ctx, sub: sub, typeName: typeName, handler: handler, decoder: codec.NewDecoder[T](sub.sub.conf.Codec)}
}

// read is a reader. It leaves what does not decode, too, to those who say what is wrong with it.
func (r *kindReader[T]) read(topic string, m socket.Msg) (done, over bool) {
	frame := m.Frames[1]
	for _, k := range r.kinds.Known {
		if scope, body, ok := k.Read(frame); ok {
			return r.known(scope, body, topic, m)
		}
	}
	if r.kinds.Due() {
		r.learn(frame)
	}
	return false, false
}

// known is read for an event of a kind that it knows.
func (r *kindReader[T]) known(ctx context.Context, body []byte, topic string, m socket.Msg) (done, over bool) {
	var v T
	shares, ok := r.decoder.Value(body, &v)
	if !ok {
		err := wire.UnmarshalBy(r.decoder, body, &r.value)
		v, r.value = r.value, *new(T)
		if err != nil {
			return false, false
		}
	}
	return true, r.attempt(ctx, topic, m, v) && !shares
}

func (r *kindReader[T]) learn(frame []byte) {
	e, err := wire.Open(frame)
	if err == nil && intake.Fit(e, r.typeName) == nil {
		r.kinds.Learn(r.ctx, e, r.sub.sub.conf.Codec, frame)
	}
}

// attempt calls the handler, and reports whether all went well.
func (r *kindReader[T]) attempt(ctx context.Context, topic string, m socket.Msg, v T) (well bool) {
	err := intake.ErrExit
	defer func() { // the handler may end the goroutine
		var e *codec.Envelope
		if err != nil {
			e, _ = wire.Open(m.Frames[1])
		}
		r.sub.sub.loop.Settle(ctx, m, e, err)
	}()
	err = intake.Attempt(func() error { return r.handler(ctx, topic, v) })
	return err == nil
}
