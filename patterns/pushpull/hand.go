package pushpull

import (
	"context"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// hand handles one message after the other in the same memory, where no middleware is to see them. Nobody but the handler does, so what it may keep is
// all that is new with each: a context, which has what the envelope is made of, and what the value refers to.
type hand[T any] struct {
	w       *Worker[T]
	handler func(ctx context.Context, v T) error
	value   T
	decoder *codec.Decoder[T]
	kinds   intake.Kinds
}

func newHand[T any](w *Worker[T], handler func(ctx context.Context, v T) error) *hand[T] {
	return &hand[T]{w: w, handler: handler, decoder: codec.NewDecoder[T](w.conf.Codec)}
}

// handle is an intake.Handler. Nothing refers to a message that it knew and that was handled well, but for a value with many bytes.
func (h *hand[T]) handle(ctx context.Context, m socket.Msg) (well, over bool) {
	err := soleFrame(m)
	if err == nil {
		frame := m.Frames[0]
		for _, k := range h.kinds.Known {
			if scope, body, ok := k.Read(frame); ok {
				var v T
				if shares, ok := h.decoder.Value(body, &v); ok {
					well, over = h.finish(scope, m, v, nil)
					return well, over && !shares
				}
				err = wire.UnmarshalBy(h.decoder, body, &h.value)
				v, h.value = h.value, *new(T)
				return h.finish(scope, m, v, err)
			}
		}
		var e *codec.Envelope
		if e, err = wire.Open(frame); err == nil {
			err = h.read(ctx, e, frame)
			ctx = &intake.Scope{Context: ctx, Envelope: e}
		}
	}
	v := h.value
	h.value = *new(T)
	well, _ = h.finish(ctx, m, v, err)
	return well, false
}

// read reads a message that it did not know into h.value.
func (h *hand[T]) read(ctx context.Context, e *codec.Envelope, frame []byte) error {
	if err := intake.Fit(e, h.w.typeName); err != nil {
		return err
	}
	own := h.w.conf.Codec
	if h.kinds.Due() {
		h.kinds.Learn(ctx, e, own, frame)
	}
	return wire.DecodeBody(e, own, &h.value)
}

// finish has the handler called, unless err says that there is no value for it. It reports whether that is to be counted as handled, and whether all went well.
func (h *hand[T]) finish(ctx context.Context, m socket.Msg, v T, err error) (well, over bool) {
	if err != nil {
		h.w.loop.Refuse(ctx, m, envelopeOf(m.Frames), err)
	} else if err = h.attempt(ctx, &m, v); err != nil {
		h.w.loop.Settle(ctx, m, envelopeOf(m.Frames), err)
	} else if !m.NeedsAck() {
		return true, true
	} else {
		h.w.loop.Settle(ctx, m, nil, nil) // before the sender knows
	}
	h.w.loop.Answer(m, err)
	return false, err == nil
}

func (h *hand[T]) attempt(ctx context.Context, m *socket.Msg, v T) (err error) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			err = intake.Panicked(v)
		} else if !returned { // nor does this then
			h.w.loop.Settle(ctx, *m, envelopeOf(m.Frames), intake.ErrExit)
		}
	}()
	err = h.handler(ctx, v)
	returned = true
	return err
}
