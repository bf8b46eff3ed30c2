package pushpull

import (
	"context"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// hand handles one message after the other in the same memory, where no middleware is to see them. Nobody but the handler does, so what it may keep is
// all that is new with each: a context, which reads the envelope if somebody asks for it, and what the value refers to.
type hand[T any] struct {
	w       *Worker[T]
	handler func(ctx context.Context, v T) error
	value   T
	decoder *codec.Decoder
	scopes  intake.Scopes
	known   codec.Stencil // of a message whose type and codec suit
	unknown uint          // messages that it did not know
}

// learnEvery is how many messages that it does not know a hand looks at the next of more closely: where they come from many sources, it is not to learn
// each again and again.
const learnEvery = 16

func newHand[T any](w *Worker[T], handler func(ctx context.Context, v T) error) *hand[T] {
	return &hand[T]{w: w, handler: handler, decoder: codec.NewDecoder(w.conf.Codec, reflect.TypeFor[T]())}
}

func (h *hand[T]) handle(ctx context.Context, m socket.Msg) {
	err := soleFrame(m)
	var frame []byte
	if err == nil {
		frame = m.Frames[0]
		err = h.read(frame)
	}
	scope := h.scopes.Next(ctx, frame)
	if err != nil {
		h.w.loop.Refuse(scope, m, envelopeOf(m.Frames), err)
	} else if err = h.attempt(scope); err != nil {
		h.w.loop.Settle(scope, m, envelopeOf(m.Frames), err)
	} else {
		h.w.loop.Settle(scope, m, nil, nil)
	}
	h.w.loop.Answer(m, err)
	h.value = *new(T)
}

// read reads a message into h.value.
func (h *hand[T]) read(frame []byte) error {
	if body, ok := h.known.Body(frame); ok {
		return wire.Unmarshal(h.decoder, body, &h.value)
	}
	own := h.w.conf.Codec
	var e codec.Envelope // stays on the stack, where the garbage collector has no work with it
	if err := wire.OpenInto(&e, frame); err != nil {
		return err
	}
	if err := intake.Fit(&e, h.w.typeName); err != nil {
		return err
	}
	if h.unknown++; h.unknown%learnEvery == 1 && len(e.Headers) == 0 && (e.Codec == "" || e.Codec == own.Name()) {
		if known, err := codec.StencilOf(&e); err == nil {
			h.known = known
		}
	}
	return wire.DecodeBody(&e, own, &h.value)
}

func (h *hand[T]) attempt(scope *intake.Scope) (err error) {
	defer intake.Recover(&err)
	return h.handler(scope, h.value)
}
