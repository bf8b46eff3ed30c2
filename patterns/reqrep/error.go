package reqrep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// Code says what kind of error a service answered with. Services may use codes of their own, in lower case with
// underscores: those below are the ones this package uses itself.
type Code string

// Codes of this package.
const (
	CodeUnknownMethod      Code = "unknown_method"      // the service has no such method; nothing was done
	CodeBadRequest         Code = "bad_request"         // the request did not decode; nothing was done
	CodeWrongType          Code = "wrong_type"          // the request is of another type than the method takes; nothing was done
	CodeUnsupportedVersion Code = "unsupported_version" // the service does not know the request's schema version; nothing was done
	CodeUnavailable        Code = "unavailable"         // the service is shutting down; nothing was done; retryable
	CodeOverloaded         Code = "overloaded"          // as many requests as may wait for the service's handlers do; nothing was done; retryable
	CodeDeadline           Code = "deadline_exceeded"   // the time allowed passed before or while the handler worked
	CodeTooLarge           Code = "too_large"           // the reply is larger than the caller takes or the service sends; the request was handled
	CodeDuplicate          Code = "duplicate"           // the request was handled before, and the stream that answered it is not kept; nothing was done
	CodeInternal           Code = "internal"            // the handler returned a plain error, panicked, or its reply could not be sent
)

// Error is the error that a service answered with. Handlers return one to choose the code; callers find it with errors.AsType.
// One with CodeDeadline is also socket.ErrTimeout and context.DeadlineExceeded, one with CodeWrongType patterns.ErrType, one
// with CodeUnsupportedVersion patterns.ErrVersion, one with CodeTooLarge socket.ErrTooLarge.
type Error struct {
	Code    Code
	Message string

	// Retryable says that the request had no effect, and asking again may help. With WithRetries a client does.
	Retryable bool
	// RetryAfter is how long to wait before, in milliseconds on the wire. It implies Retryable. Zero: as WithBackoff says.
	RetryAfter time.Duration
}

// Errorf returns an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Retry returns e, Retryable, after pause at the earliest.
func (e *Error) Retry(pause time.Duration) *Error {
	e.Retryable, e.RetryAfter = true, max(pause, 0)
	return e
}

// Error returns the code and the message in one line.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// ErrorCode returns the code, for those who observe calls without knowing this package.
func (e *Error) ErrorCode() string { return string(e.Code) }

// Is says which sentinels the code stands for.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case CodeDeadline:
		return target == socket.ErrTimeout || target == context.DeadlineExceeded
	case CodeWrongType:
		return target == patterns.ErrType
	case CodeUnsupportedVersion:
		return target == patterns.ErrVersion
	case CodeTooLarge:
		return target == socket.ErrTooLarge
	}
	return false
}

// asked is an error of a call that was made here, of which handlers often make theirs: see passedOn.
type asked struct {
	what, name string
	err        error
}

// Error says what was asked for, and the cause.
func (a *asked) Error() string { return a.what + " " + a.name + ": " + a.err.Error() }

// Unwrap returns the cause.
func (a *asked) Unwrap() error { return a.err }

// passedOn reports whether answer, which err wraps, is what a service said to the handler that returns err, and not what the handler says.
func passedOn(err error, answer *Error) bool {
	a, ok := errors.AsType[*asked](err)
	if !ok {
		return false
	}
	theirs, ok := errors.AsType[*Error](a)
	return ok && theirs == answer
}

// secondHand is what the caller is told of an error that another service answered its handler with: that nothing was done there says nothing of what was done here. Codes of
// services' own mean the same at both.
func (e *Error) secondHand(err error) *Error {
	switch e.Code {
	case CodeUnknownMethod, CodeBadRequest, CodeWrongType, CodeUnsupportedVersion, CodeUnavailable, CodeOverloaded, CodeTooLarge, CodeDuplicate, CodeInternal:
		return Errorf(CodeInternal, "%v", err)
	}
	return &Error{Code: e.Code, Message: e.Message}
}

// Limits of what travels in the headers of a reply. They leave most of a reply's headers to others, and
// a message beyond them is cut rather than lost.
const (
	maxCode    = 64
	maxMessage = 4 << 10
)

// bounded returns e in a form that an envelope takes.
func (e *Error) bounded() *Error {
	b := *e
	b.Code, b.Message = Code(clip(string(e.Code), maxCode)), clip(e.Message, maxMessage)
	if b.Code == "" {
		b.Code = CodeInternal
	}
	return &b
}

// clip returns s as UTF-8 of at most limit bytes.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s[:min(len(s), limit)], "?")
	return s[:min(len(s), limit)]
}
