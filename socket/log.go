package socket

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// LogTo returns a handler for WithEventHandler that writes a line for each event: what is amiss as a warning, what begins and ends as information, the
// rest, such as subscriptions, for debugging. See Event.LogValue.
func LogTo(l *slog.Logger) func(Event) {
	return func(e Event) {
		l.LogAttrs(context.Background(), e.level(), e.Kind.String(), e.attrs()...)
	}
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case HandshakeFailed, AcceptFailed, Dropped, GaveUp, ReloadFailed, Forbidden, DeadLettered, SpoolTrouble, WindowTrouble, Missed, Conflicted, LeaseExpired:
		return slog.LevelWarn
	case Listening, Unbound, Connected, SpoolTorn, WindowTorn:
		return slog.LevelInfo
	case Disconnected:
		if e.Err == nil {
			return slog.LevelInfo
		}
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// LogValue returns the event as a group of attributes, for package slog. What peers say of themselves is in it as printable text only, so that
// no peer can forge a line of a log, and none of what they keep secret.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.String("event", e.Kind.String())}, e.attrs()...)...)
}

func (e Event) attrs() (attrs []slog.Attr) {
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, printable(value)))
		}
	}
	add("endpoint", e.Endpoint)
	if e.Peer != nil {
		add("peer", e.Peer.Address())
		add("identity", e.Peer.Identity())
		add("user", e.Peer.UserID())
		add("tls_name", e.Peer.TLSName())
	}
	switch e.Kind {
	case Subscribed, Unsubscribed, Forbidden:
		attrs = append(attrs, slog.String("topic", printable(e.Topic)))
	case Retrying:
		attrs = append(attrs, slog.Duration("retry_in", e.RetryIn.Round(time.Millisecond)))
	case Dropped:
		attrs = append(attrs, slog.Uint64("count", e.Count), slog.String("reason", e.Reason.String()))
	case LeaseExpired:
		attrs = append(attrs, slog.Uint64("count", e.Count))
	case SpoolTorn, WindowTorn:
		attrs = append(attrs, slog.Uint64("bytes", e.Count))
		add("log", e.Name)
	}
	if e.Err != nil {
		add("error", e.Err.Error())
	}
	return attrs
}

// String returns the request in one line: all but the password, and nothing that does not print.
func (r Request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Mechanism, r.Endpoint)
	if r.Address != nil {
		fmt.Fprintf(&b, " peer %s", r.Address)
	}
	for _, part := range []struct{ name, value string }{
		{"user", r.User}, {"tls", r.TLSName}, {"identity", r.Identity}, {"type", r.SocketType},
	} {
		if part.value != "" {
			fmt.Fprintf(&b, " %s %q", part.name, part.value)
		}
	}
	if r.PublicKey != (PublicKey{}) {
		fmt.Fprintf(&b, " key %s", r.PublicKey)
	}
	return b.String()
}

// LogValue is String, for package slog.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// printable returns s as it is, or with what does not print escaped as in Go.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
