package tracing

import (
	"context"
	"errors"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/socket"
)

func codeOf(err error) string {
	if c, ok := errors.AsType[intake.Coder](err); ok {
		return c.ErrorCode()
	}
	return ""
}

// kinds are the errors that error.type tells apart, the more exact ones first.
var kinds = []struct {
	err  error
	name string
}{
	{patterns.ErrPanic, "panic"},
	{patterns.ErrInvalid, "invalid"},
	{patterns.ErrVersion, "version"},
	{patterns.ErrExpired, "expired"},
	{patterns.ErrMalformed, "malformed"},
	{socket.ErrNoPeer, "no_peer"},
	{socket.ErrPeerGone, "peer_gone"},
	{socket.ErrFull, "full"},
	{socket.ErrClosed, "closed"},
	{socket.ErrTooLarge, "too_large"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
	{patterns.ErrPermanent, "permanent"},
}

// typeOf returns the code that a service answered with, or one of a few words.
func typeOf(err error) string {
	if code := codeOf(err); code != "" {
		return code
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// record adds the event of a panic, which has more to tell than a status.
func record(span trace.Span, err error) {
	p, ok := errors.AsType[*patterns.PanicError](err)
	if !ok {
		return
	}
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(
		semconv.ExceptionType("panic"), semconv.ExceptionMessage(p.Error()), semconv.ExceptionStacktrace(string(p.Stack))))
}
