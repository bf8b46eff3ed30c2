package middleware

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// Log writes a line for each attempt at a message: at level Debug if it was handled (answering a call with an error is that, too), Warn if it failed and may be tried again, Error if it
// is rejected for good or the handler panicked. It says what the message is and where it belongs (kind, name, id, correlation, source, peer,
// attempt), how long it took, and the error; never what is in it. A nil logger is slog.Default, at the time of each message.
//
// Errors go on to patterns.WithOnError, which logs them as well unless it is given something else to do.
func Log(logger *slog.Logger) patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			begin, err := time.Now(), intake.ErrExit
			defer func() { logHandled(ctx, logger, d, begin, err) }()
			err = attempt(ctx, next, d)
			return err
		}
	}
}

func logHandled(ctx context.Context, logger *slog.Logger, d *patterns.Delivery, begin time.Time, err error) {
	l, level := or(logger), levelOf(d.Kind, err)
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 10), slog.String("kind", d.Kind.String()), slog.String("name", d.Name))
	attrs = identify(attrs, d.Envelope)
	if d.Peer != nil {
		attrs = append(attrs, slog.String("peer", d.Peer.Address()))
	}
	attrs = append(attrs, slog.Int("attempt", d.Attempt))
	if d.Duplicate {
		attrs = append(attrs, slog.Bool("duplicate", true))
	}
	l.LogAttrs(ctx, level, "handled", finish(attrs, begin, err)...)
}

// LogSends writes a line for each message sent, as Log does for those handled: at level Debug, or Warn if it could not be sent, or a Call
// was not answered.
func LogSends(logger *slog.Logger) patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			begin := time.Now()
			err := next(ctx, o)
			l, level := or(logger), slog.LevelDebug
			if err != nil {
				level = slog.LevelWarn
			}
			if l.Enabled(ctx, level) {
				attrs := append(make([]slog.Attr, 0, 10), slog.String("kind", o.Kind.String()), slog.String("name", o.Name))
				l.LogAttrs(ctx, level, "sent", finish(identify(attrs, o.Envelope), begin, err)...)
			}
			return err
		}
	}
}

func or(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}

func levelOf(kind patterns.Kind, err error) slog.Level {
	switch {
	case err == nil, intake.IsAnswer(kind, err):
		return slog.LevelDebug
	case errors.Is(err, patterns.ErrPermanent), errors.Is(err, patterns.ErrPanic):
		return slog.LevelError
	}
	return slog.LevelWarn
}

func identify(attrs []slog.Attr, e *codec.Envelope) []slog.Attr {
	if e == nil {
		return attrs
	}
	attrs = append(attrs, slog.String("id", e.ID.String()))
	if id := e.Conversation(); !id.IsZero() {
		attrs = append(attrs, slog.String("correlation", id.String()))
	}
	if e.Source != "" {
		attrs = append(attrs, slog.String("source", e.Source))
	}
	return attrs
}

func finish(attrs []slog.Attr, begin time.Time, err error) []slog.Attr {
	attrs = append(attrs, slog.Duration("duration", time.Since(begin)))
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	return attrs
}
