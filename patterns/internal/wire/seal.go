package wire

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// keepLimit is the capacity beyond which a buffer is not kept: most messages are smaller, and one large
// message should not hold its memory for good.
const keepLimit = 64 << 10

// draft has the memory that a message is built in. Sockets copy what they send.
type draft struct {
	envelope    codec.Envelope
	body, frame []byte
}

var pool = sync.Pool{New: func() any { return new(draft) }}

type noBody struct{}

// NoBody is the value of a message without a body.
var NoBody any = noBody{}

// Sealer makes messages.
type Sealer struct {
	Codec  codec.Codec
	Source string
}

// Seal completes e, applies the options, encodes v as its body and calls send with it and the frame, which are send's
// until it returns. An ID that is set already stays.
func (s *Sealer) Seal(ctx context.Context, e codec.Envelope, v any, opts []patterns.SendOption, send func(e *codec.Envelope, frame []byte) error) error {
	d := pool.Get().(*draft)
	defer d.release()
	d.envelope = e
	if err := s.seal(ctx, d, v, opts); err != nil {
		return err
	}
	return send(&d.envelope, d.frame)
}

func (s *Sealer) seal(ctx context.Context, d *draft, v any, opts []patterns.SendOption) (err error) {
	e := &d.envelope
	s.fill(ctx, e)
	for _, opt := range opts {
		opt(e)
	}
	if e.CorrelationID.IsZero() { // the first message of its conversation
		e.CorrelationID = e.ID
	}
	if _, none := v.(noBody); !none {
		if d.body, err = s.Codec.Append(d.body[:0], v); err != nil {
			return err
		}
		e.Body, e.Codec = d.body, s.Codec.Name()
	}
	d.frame, err = e.Append(d.frame[:0])
	return err
}

func (d *draft) release() {
	d.envelope = codec.Envelope{} // headers are the caller's
	if cap(d.body) <= keepLimit && cap(d.frame) <= keepLimit {
		pool.Put(d)
	}
}

// fill says what, when, by whom, and as part of which conversation.
func (s *Sealer) fill(ctx context.Context, e *codec.Envelope) {
	if e.ID.IsZero() {
		e.ID = codec.NewID()
	}
	e.Time, e.Source = time.Now(), s.Source
	parent := patterns.FromContext(ctx)
	if parent == nil {
		return
	}
	e.CausationID, e.CorrelationID = parent.ID, parent.CorrelationID
	if e.CorrelationID.IsZero() { // a peer that knows no conversations began this one
		e.CorrelationID = parent.ID
	}
	for _, key := range [...]string{codec.HeaderTraceparent, codec.HeaderTracestate} {
		if value := parent.Header(key); value != "" {
			e.SetHeader(key, value)
		}
	}
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
