package saga

import (
	"context"
	"crypto/sha256"

	"github.com/meshmq/meshmq/codec"
)

// Attempt is what a step may know of the call that it is in.
type Attempt struct {
	Saga   string // the id
	Step   string
	Undo   bool
	Number int // from 1
	// Key is the same at each call of this Do, or of this Undo, and at no other's: services are given it to know that they have done it already.
	Key string
}

type attemptKey struct{}

// FromContext returns the call of the step whose context this is; a zero Attempt if there is none.
func FromContext(ctx context.Context) Attempt {
	a, _ := ctx.Value(attemptKey{}).(Attempt)
	return a
}

// Key returns the Key of the call of the step whose context this is, "" if there is none.
func Key(ctx context.Context) string { return FromContext(ctx).Key }

// MessageID returns an id made of the Key: who sends one message per step gives it this one (patterns.WithID), so that receivers drop what comes again.
func MessageID(ctx context.Context) codec.ID { return idOf(Key(ctx)) }

// idOf returns the first bytes of a hash, marked as a UUID of version 8, which is for those made in ways of one's own.
func idOf(key string) (id codec.ID) {
	if key == "" {
		return id
	}
	sum := sha256.Sum256([]byte(key))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}
