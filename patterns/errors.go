package patterns

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// Sentinels that hooks decide on, with errors.Is.
var (
	// ErrMalformed: the message is not one of this pattern: wrong frames, no envelope, or a body that
	// is not what its codec writes.
	ErrMalformed = errors.New("malformed message")
	// ErrType: the message holds another type than the handler takes.
	ErrType = errors.New("unexpected type")
	// ErrVersion: the message has a version of its type that nobody here can read. It is sound, and can be replayed to a
	// newer receiver.
	ErrVersion = errors.New("unknown schema version")
	// ErrInvalid: the message decodes, but its value is not one to handle or to send.
	ErrInvalid = errors.New("invalid value")
	// ErrPanic: the handler panicked. The error is a *PanicError.
	ErrPanic = errors.New("handler panicked")
	// ErrPermanent: trying again is of no use. See Permanent.
	ErrPermanent = errors.New("permanent")
	// ErrExpired: nobody wants the message any more.
	ErrExpired = errors.New("message expired")
)

// Permanent returns an error with which a handler rejects a message for good: it is not delivered again. It reads as err
// does, wraps it, and is ErrPermanent. Nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &verdict{cause: err, permanent: true}
}

// RetryAfter returns an error with which a handler asks for the message again in pause at the earliest, in place of the sender's own
// pauses. It reads as err does and wraps it. Nil stays nil.
func RetryAfter(err error, pause time.Duration) error {
	if err == nil {
		return nil
	}
	return &verdict{cause: err, pause: pause}
}

// Pause returns what RetryAfter was given for err, or for what err wraps.
func Pause(err error) (pause time.Duration, ok bool) {
	v, ok := errors.AsType[*verdict](err)
	if !ok || v.permanent {
		return 0, false
	}
	return v.pause, true
}

// verdict is what a handler wants done after an error.
type verdict struct {
	cause     error
	permanent bool
	pause     time.Duration
}

func (v *verdict) Error() string { return v.cause.Error() }

func (v *verdict) Unwrap() error { return v.cause }

func (v *verdict) Is(target error) bool { return v.permanent && target == ErrPermanent }

// Error says what could not be done with a received message, and why. It is what hooks get.
type Error struct {
	Op   string   // "receive", "decode", "expire", "handle", "reply", "delay" or "subscribe"
	ID   codec.ID // of the message; zero if it has none that could be read
	Type string   // of the message
	Peer string   // address of the peer that sent it
	Err  error
}

// NewError returns an Error about e, which may be nil.
func NewError(op string, e *codec.Envelope, peer string, err error) *Error {
	failed := &Error{Op: op, Peer: peer, Err: err}
	if e != nil {
		failed.ID, failed.Type = e.ID, e.Type
	}
	return failed
}

// Error returns one line: what was tried with which message of which peer, and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Type != "" {
		fmt.Fprintf(&b, " %s", e.Type)
	}
	if !e.ID.IsZero() {
		fmt.Fprintf(&b, " %s", e.ID)
	}
	if e.Peer != "" {
		fmt.Fprintf(&b, " from %s", e.Peer)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// PanicError is a handler's panic, which counts as a failed attempt at its message. So does a handler's call of runtime.Goexit, as in FailNow of a test: Value names it then, and
// there is no Stack.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where, as runtime/debug.Stack writes it
}

// Error returns the value in one line; Stack is for whoever prints more.
func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Is says that it is ErrPanic.
func (e *PanicError) Is(target error) bool { return target == ErrPanic }
