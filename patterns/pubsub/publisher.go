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
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Publisher publishes events. It embeds its socket: Bind and Connect lead to subscribers, Close and Shutdown end
// it. It is safe for use by any number of goroutines.
type Publisher struct {
	*socket.Pub
	sealer  wire.Sealer
	line    wire.Line
	numbers *sequencer // nil without WithSequence
	exact   bool
	kinds   sync.Map // of *kind, by the type of the value
	err     error    // what the options did wrong
}

// kind is what all events with a value of one type have in common.
type kind struct {
	typeName string
	stencil  codec.Stencil
}

// NewPublisher returns a Publisher. It uses nothing but the directory of its log until Bind or Connect; Close it in the end.
func NewPublisher(opts ...patterns.Option) *Publisher {
	c, err := configure("NewPublisher", conf.Source|conf.SendMiddleware|conf.DeadLetters|conf.Publishing,
		conf.Config{Codec: codec.Msgpack, Socket: []socket.Option{socket.WithPeerLimits()}}, opts)
	if c.Events.Exact {
		c.Socket = append(c.Socket, socket.WithProperty(topicsProperty, exactTopics))
	}
	if f := c.DeadLetters; f != nil {
		own(&c, socket.WithDeadLetter(func(d socket.DeadLetter) { f(d.Number, d.Reason, d.Attempts, envelopeOf(d.Frames), d.Frames) }))
	}
	p := &Publisher{Pub: socket.NewPub(c.Socket...), sealer: wire.NewSealer(patterns.Event, c), exact: c.Events.Exact, err: err}
	if c.Events.Numbered {
		p.numbers = newSequencer(c.Events.Levels)
	}
	p.line = func(ctx context.Context, o *patterns.Outgoing, frame []byte) error { return p.send(ctx, o.Name, frame) }
	return p
}

// envelopeOf returns the envelope of an event, nil if it has none.
func envelopeOf(frames [][]byte) *codec.Envelope {
	if len(frames) < 2 {
		return nil
	}
	e, err := wire.Open(frames[1])
	if err != nil {
		return nil
	}
	return e
}

// send is the end of the way of each event here.
func (p *Publisher) send(ctx context.Context, name string, frame []byte) error {
	var room [maxTopic + len(topicEnd)]byte
	topic := append(room[:0], name...)
	if p.exact {
		topic = append(topic, topicEnd...)
	}
	if p.numbers == nil {
		return p.Pub.Send(ctx, topic, frame)
	}
	return p.sendNumbered(ctx, name, slices.Clone(topic), frame)
}

func (p *Publisher) sendNumbered(ctx context.Context, name string, topic, frame []byte) error {
	return p.numbers.send(ctx, name, func(sequence []byte) error { return p.Pub.Send(ctx, topic, frame, sequence) })
}

// Publish tells v to the subscribers of topic. Nil means that it is queued for each of those that are connected and keep
// up, of whom there may be none; WithLog, that it is in the log. It does not block but for the log, and with WithSlowSubscribers(socket.Block). v is not
// referred to any more afterwards. A malformed topic is ErrTopic.
//
// The event bears the time it is now. Where events without options follow each other within microseconds it may be that of up to 15 before, as pushpull.Producer.Send says of messages.
func (p *Publisher) Publish(ctx context.Context, topic string, v any, opts ...patterns.SendOption) error {
	if p.err != nil {
		return fmt.Errorf("publish: %w", p.err)
	}
	if err := CheckTopic(topic); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if len(opts) == 0 && v != nil && p.sealer.Plain() {
		return p.publishPlain(ctx, topic, v)
	}
	e := codec.Envelope{Type: wire.NameOf(p.sealer.Schemas, reflect.TypeOf(v))}
	return p.sealer.Seal(ctx, topic, &e, v, opts, p.line)
}

// buffers are what events are made in.
var buffers = sync.Pool{New: func() any { return new(wire.Buffer) }}

// publishPlain is Publish where nothing is to be said of the event, and nothing to see it on its way.
func (p *Publisher) publishPlain(ctx context.Context, topic string, v any) error {
	k := p.kindOf(reflect.TypeOf(v))
	b := buffers.Get().(*wire.Buffer)
	frame, err := p.sealer.Frame(ctx, b, &k.stencil, k.typeName, nil, v)
	if err == nil {
		err = p.send(ctx, topic, frame)
	}
	b.Close()
	buffers.Put(b)
	return err
}

func (p *Publisher) kindOf(t reflect.Type) *kind {
	if k, ok := p.kinds.Load(t); ok {
		return k.(*kind)
	}
	of := t
	if t.Kind() == reflect.Pointer {
		of = t.Elem()
	}
	k := &kind{typeName: wire.NameOf(nil, t)}
	k.stencil = p.sealer.Stencil(k.typeName, nil, of)
	p.kinds.Store(t, k)
	return k
}

// PublishEnvelope is Publish of an event that is encoded already: frame is its envelope, as codec.Envelope.Append writes it and Publish sends it. It does not go through the
// middleware. A frame that is no envelope is patterns.ErrMalformed.
func (p *Publisher) PublishEnvelope(ctx context.Context, topic string, frame []byte) error {
	err := p.err
	if err == nil {
		err = CheckTopic(topic)
	}
	if err == nil {
		_, err = wire.Open(frame)
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return p.send(ctx, topic, frame)
}

// WaitSubscribers blocks until at least n connected subscribers want topic, or ctx ends. For a pattern, it waits for those who
// want all that begins like it, up to the first wildcard.
func (p *Publisher) WaitSubscribers(ctx context.Context, topic string, n int) error {
	if err := CheckPattern(topic); err != nil {
		return fmt.Errorf("wait for subscribers: %w", err)
	}
	return p.Pub.WaitSubscribers(ctx, filter(topic, p.exact), n)
}
