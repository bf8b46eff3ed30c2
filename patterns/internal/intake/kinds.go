package intake

import (
	"context"

	"github.com/meshmq/meshmq/codec"
)

// Kinds are the kinds of message, all of a type and codec that suit, that a goroutine knows. The zero Kinds are none.
type Kinds struct {
	Known   []*Known // to be asked one after the other
	unknown int      // messages that none of these knew
}

const (
	// maxKnown is how many kinds there are: those of as many senders, if they give their names.
	maxKnown = 4
	// learnEvery is how many messages that are not known come for one that is learnt: where they come from many sources, it is not to be each again and again.
	learnEvery = 16
)

// Due is called for each message that is not known, and reports whether it is to be learnt.
func (k *Kinds) Due() bool {
	k.unknown++
	return k.unknown%learnEvery == 1
}

// Learn has messages like this one known, if they have no headers, and own reads them. They are handled in ctx, and of a type that suits.
func (k *Kinds) Learn(ctx context.Context, e *codec.Envelope, own codec.Codec, frame []byte) {
	if len(e.Headers) > 0 || e.Codec != "" && e.Codec != own.Name() {
		return
	}
	stencil, err := codec.StencilOf(e)
	if _, ok := stencil.Read(frame, new(codec.Mark), new(codec.Links)); err != nil || !ok { // of another form
		return
	}
	known := NewKnown(ctx, stencil)
	if len(k.Known) < maxKnown {
		k.Known = append(k.Known, known)
	} else {
		k.Known[k.unknown/learnEvery%maxKnown] = known
	}
}
