package wire

import (
	"context"
	"reflect"
	"sync"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// draft is what a message is built in.
type draft struct {
	envelope codec.Envelope
	out      *patterns.Outgoing // its Envelope is the one above
	buffer   Buffer

	sealer *Sealer // these two while a message is made
	line   Line
}

var pool = sync.Pool{New: func() any {
	d := new(draft)
	d.out = patterns.NewOutgoing(d.transmit)
	return d
}}

type noBody struct{}

// NoBody is the value of a message without a body.
var NoBody any = noBody{}

// Line is where sealed messages go. The message and its frame are the Line's until it returns. One that is made once for each
// sender, and not for each message, costs nothing.
type Line func(ctx context.Context, o *patterns.Outgoing, frame []byte) error

// Sealer makes messages.
type Sealer struct {
	Kind    patterns.Kind
	Codec   codec.Codec
	Source  string
	Schemas patterns.Schemas // nil for none
	Around  patterns.Sender  // the middleware, nil for none
}

// NewSealer returns the Sealer of a configuration.
func NewSealer(kind patterns.Kind, c conf.Config) Sealer {
	s := Sealer{Kind: kind, Codec: c.Codec, Source: c.Source, Schemas: c.Schemas}
	if len(c.SendMiddleware) > 0 {
		around := make([]patterns.SendMiddleware, len(c.SendMiddleware))
		for i, m := range c.SendMiddleware {
			around[i] = m.(patterns.SendMiddleware)
		}
		s.Around = patterns.Around(around...)
	}
	return s
}

// Seal completes a copy of e, applies the options, and passes it through the middleware; then v is encoded as its body, and line called. An
// ID that is set already stays. The name is the topic of an event; "" stands for the type.
func (s *Sealer) Seal(ctx context.Context, name string, e *codec.Envelope, v any, opts []patterns.SendOption, line Line) error {
	d := pool.Get().(*draft)
	defer d.release()
	d.envelope = *e
	s.fill(ctx, &d.envelope)
	for _, opt := range opts {
		opt(&d.envelope)
	}
	if name == "" {
		name = d.envelope.Type
	}
	d.out.Kind, d.out.Name, d.out.Envelope, d.out.Value = s.Kind, name, &d.envelope, v
	d.sealer, d.line = s, line
	if s.Around != nil {
		return s.Around(ctx, d.out)
	}
	return d.transmit(ctx)
}

// Plain reports whether Frame will do for messages without options.
func (s *Sealer) Plain() bool { return s.Around == nil && s.Schemas == nil }

// Stencil returns what plain messages of this type and with these headers have in common, whose values are of type t; the zero Stencil if there can be none,
// which Frame says why.
func (s *Sealer) Stencil(typeName string, headers []codec.Header, t reflect.Type) (stencil codec.Stencil) {
	if s.Plain() {
		stencil, _ = codec.NewStencil(&codec.Envelope{Type: typeName, Source: s.Source, Headers: headers}, s.Codec, t)
	}
	return stencil
}

// Frame returns what Seal would have sent of v, if nothing is to see the message on its way. The frame is part of b, until that is closed. The Stencil is that of typeName
// and headers, or zero.
func (s *Sealer) Frame(ctx context.Context, b *Buffer, stencil *codec.Stencil, typeName string, headers []codec.Header, v any) (frame []byte, err error) {
	parent := patterns.FromContext(ctx)
	if stencil.IsZero() || traced(parent) {
		return s.FrameWith(ctx, b, typeName, headers, v)
	}
	var correlation, causation codec.ID
	if parent != nil {
		correlation, causation = parent.Conversation(), parent.ID
	}
	b.open()
	b.frame, err = stencil.Append(b.frame[:0], correlation, causation, v)
	return b.frame, err
}

// Parent returns the envelope of the message that ctx handles, nil for none. It reports false where a Stencil cannot say what a message belongs to that this one causes, but
// Frame has to do it.
func Parent(ctx context.Context) (parent *codec.Envelope, ok bool) {
	parent = patterns.FromContext(ctx)
	return parent, !traced(parent)
}

// traced reports whether it takes headers to say what a message that parent causes belongs to.
func traced(parent *codec.Envelope) bool {
	return parent != nil && (parent.Header(codec.HeaderTraceparent) != "" || parent.Header(codec.HeaderTracestate) != "")
}

// FrameWith is Frame without a Stencil, with headers. The envelope is made on the stack.
func (s *Sealer) FrameWith(ctx context.Context, b *Buffer, typeName string, headers []codec.Header, v any) (frame []byte, err error) {
	b.open()
	var e codec.Envelope
	e.Type, e.Headers = typeName, headers
	s.fill(ctx, &e)
	if b.body, err = s.Codec.Append(b.body[:0], v); err != nil {
		return nil, err
	}
	e.Body, e.Codec = b.body, s.Codec.Name()
	b.frame, err = e.Append(b.frame[:0])
	return b.frame, err
}

// transmit is what the middleware is around.
func (d *draft) transmit(ctx context.Context) (err error) {
	if err = d.encode(); err != nil {
		return err
	}
	return d.line(ctx, d.out, d.buffer.frame)
}

func (d *draft) encode() (err error) {
	e, s, b := &d.envelope, d.sealer, &d.buffer
	b.open()
	if _, none := d.out.Value.(noBody); !none {
		if s.Schemas != nil {
			b.body, err = s.Schemas.Encode(b.body[:0], s.Codec, e, d.out.Value)
		} else {
			b.body, err = s.Codec.Append(b.body[:0], d.out.Value)
		}
		if err != nil {
			return err
		}
		e.Body, e.Codec = b.body, s.Codec.Name()
	}
	b.frame, err = e.Append(b.frame[:0])
	return err
}

func (d *draft) release() {
	d.envelope = codec.Envelope{} // headers are the caller's
	d.out.Value, d.out.Reply, d.sealer, d.line = nil, nil, nil, nil
	d.buffer.Close()
	pool.Put(d)
}

// fill says what, when, by whom, and as part of which conversation.
func (s *Sealer) fill(ctx context.Context, e *codec.Envelope) {
	e.Stamp()
	e.Source = s.Source
	parent := patterns.FromContext(ctx)
	if parent == nil {
		return
	}
	e.CausationID, e.CorrelationID = parent.ID, parent.Conversation()
	for _, key := range [...]string{codec.HeaderTraceparent, codec.HeaderTracestate} {
		if value := parent.Header(key); value != "" {
			e.SetHeader(key, value)
		}
	}
}

// NameOf is the name by which values of t are known to peers: that in the schemas, or else TypeName.
func NameOf(schemas patterns.Schemas, t reflect.Type) string {
	if schemas != nil {
		if name := schemas.Name(t); name != "" {
			return name
		}
	}
	return TypeName(t)
}

// TypeName is the name by which values of t are known to peers: that of the Go type without its package, which is
// nobody else's business. Types that are not declared, and predeclared ones, have none.
func TypeName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.PkgPath() == "" {
		return ""
	}
	return t.Name()
}
