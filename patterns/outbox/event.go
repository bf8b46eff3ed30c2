package outbox

import (
	"context"
	"fmt"
	"log/slog"
)

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	Leads     EventKind = iota + 1 // this relay publishes from now on
	Follows                        // it does not any more; Err says why if that was not asked for
	Failed                         // an attempt at Message failed by Err; another one follows
	Parked                         // Message was given up because of Err: somebody has to look at it
	Outage                         // nobody takes messages, or the database cannot be used: Err. It goes on by itself
	Recovered                      // that is over
)

var kinds = [...]string{"", "leads", "follows", "failed", "parked", "outage", "recovered"}

// String returns the kind in lower case.
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("event %d", uint8(k))
	}
	return kinds[k]
}

// Event is something that people who operate a relay want to know of.
type Event struct {
	Kind    EventKind
	Table   string
	Message *Message // of Failed and Parked; valid during the call
	Err     error
}

// Log reports e to slog.Default: errors at level Error for Parked and Warn for others, the rest at Info. It is the hook where no other is given.
func Log(ctx context.Context, e Event) {
	level, args := slog.LevelInfo, []any{"table", e.Table}
	if e.Err != nil {
		level, args = slog.LevelWarn, append(args, "error", e.Err)
	}
	if e.Kind == Parked {
		level = slog.LevelError
	}
	if m := e.Message; m != nil {
		args = append(args, "number", m.Number, "id", m.ID, "topic", m.Topic, "key", m.Key, "attempts", m.Attempts)
	}
	slog.Log(ctx, level, "outbox "+e.Kind.String(), args...)
}

// Stats are a relay's counters, since it was made.
type Stats struct {
	Leads     bool   // it publishes, now
	Published uint64 // messages marked as published; those that were published again before they could be count once
	Failed    uint64 // attempts that failed
	Parked    uint64 // messages given up
	Outages   uint64 // times that nobody took messages, or the database could not be used
	Cleaned   uint64 // published rows that were deleted by age
	Batches   uint64
}
