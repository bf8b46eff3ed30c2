package intake

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Task is one attempt at handling a message, and what the handlers are given. It is not used for a second message: handlers may leave the
// Scope, and so the envelope, with others.
type Task struct {
	Msg      socket.Msg
	Delivery patterns.Delivery // Open sets all but Value and Reply
	Scope    Scope

	envelope codec.Envelope
}

// Scope is the context in which a message is handled: that of the work, and the envelope.
type Scope struct {
	context.Context // that of the work

	Envelope *codec.Envelope // nil where there is none
}

// Value is that of context.Context.
func (s *Scope) Value(key any) any {
	if key == (conf.EnvelopeKey{}) && s.Envelope != nil {
		return s.Envelope
	}
	return s.Context.Value(key)
}

// Open reads the envelope in a frame of the message. The error is ErrMalformed, and Delivery.Envelope stays nil.
func (t *Task) Open(kind patterns.Kind, frame []byte) error {
	e := &t.envelope
	if err := wire.OpenInto(e, frame); err != nil {
		return err
	}
	t.Scope.Envelope = e
	t.Delivery = patterns.Delivery{Kind: kind, Name: e.Type, Envelope: e, Peer: t.Msg.Peer(), Attempt: t.Msg.Attempt()}
	return nil
}

// Fit refuses a message that nobody wants any more, or of another type than want. Open is called before.
func (t *Task) Fit(want string) error { return Fit(&t.envelope, want) }

// Fit refuses a message that nobody wants any more, or of another type than want.
func Fit(e *codec.Envelope, want string) error {
	if len(e.Headers) > 0 {
		if err := patterns.Expired(e, time.Now()); err != nil {
			return err
		}
	}
	return wire.CheckType(e, want)
}

// Wrap puts the middleware of a configuration around h.
func Wrap(middleware []any, h patterns.Handler) patterns.Handler {
	for _, m := range slices.Backward(middleware) {
		h = m.(patterns.Middleware)(h)
	}
	return h
}

// ErrExit is how an attempt ends whose handler ends the goroutine. Nothing returns it: who has to know how an attempt ended has it noted beforehand, and looks at that in a deferred
// function.
var ErrExit error = &patterns.PanicError{Value: "runtime.Goexit"}

// Attempt calls f, and turns a panic into an error.
func Attempt(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = Panicked(v)
		}
	}()
	return f()
}

// Panicked returns the error that a panic is, where that was recovered.
func Panicked(v any) error { return &patterns.PanicError{Value: v, Stack: debug.Stack()} }

// Do has h, with its middleware, handle a message. It counts and reports how that ended, and returns the error or panic. What
// the sender is told is up to Answer.
func (l *Loop) Do(t *Task, h patterns.Handler) error {
	err := ErrExit
	defer func() { l.Settle(&t.Scope, t.Msg, t.Delivery.Envelope, err) }()
	err = Attempt(func() error { return h(&t.Scope, &t.Delivery) })
	return err
}

// Answer tells the sender of a message that is to be acknowledged what has become of it: nil that it is done with, an error for which trying
// again is of no use that nobody can handle it, any other that it is to be sent again. Only the first answer counts.
func (l *Loop) Answer(m socket.Msg, err error) {
	if err == nil {
		l.answered(m.Ack())
		return
	}
	if !m.NeedsAck() {
		return
	}
	why := socket.Nack{Reject: Hopeless(err), Reason: err.Error()}
	if pause, asked := patterns.Pause(err); asked {
		why.After = max(pause, time.Millisecond) // zero leaves it to the sender
	}
	l.answered(m.Nack(why))
}

// answered takes care of an answer that could not be given. One to a connection that has ended, or about a message whose lease has, is no news: the socket counts it, and the
// message comes again. A window that failed ends Run, by the error of Recv.
func (l *Loop) answered(err error) {
	if errors.Is(err, socket.ErrPeerGone) || errors.Is(err, socket.ErrLease) {
		l.unanswered.Add(1)
	}
}

// Hopeless reports whether a message that failed with err will fail again wherever it is sent.
func Hopeless(err error) bool {
	return slices.ContainsFunc(final, func(target error) bool { return errors.Is(err, target) })
}

// final are the errors for which trying again is of no use.
var final = []error{patterns.ErrPermanent, patterns.ErrMalformed, patterns.ErrType, patterns.ErrVersion, patterns.ErrInvalid, patterns.ErrExpired}
