package saga

import (
	"context"
	"fmt"
	"log/slog"
)

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	Started     EventKind = iota + 1 // by Start
	Done                             // Step is done
	Undone                           // Step is undone
	Failed                           // an attempt at Step failed by Err; another one follows
	TurnedBack                       // Step could not be done because of Err: what was begun is undone
	Ended                            // the saga is Completed or Compensated
	GivenUp                          // the saga is Parked because of Err: an alarm. Somebody has to help it, and then call Resume
	Recovered                        // a saga was taken over whose runner had ended without a word
	Lost                             // another runner took the saga over: this one was too slow to renew its lease, or cut off from the store
	StoreFailed                      // the store cannot be used because of Err; it is tried again
	Unknown                          // a saga waits for a version of its definition that no runner here has
)

var kinds = [...]string{"", "started", "done", "undone", "failed", "turned back", "ended", "given up", "recovered", "lost", "store failed", "unknown version"}

// String returns the kind in lower case.
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("event %d", uint8(k))
	}
	return kinds[k]
}

// Event is something that people who operate sagas want to know of.
type Event struct {
	Kind    EventKind
	Saga    string // the id; "" where it is about none
	State   State
	Step    string // the name; "" where it is about none
	Attempt int    // of Failed: how many have
	Err     error
}

// Log reports e to slog.Default: GivenUp at level Error, others with an error or of bad news at Warn, the end of a saga at Info, the rest at Debug. It is the hook where no other is given.
func Log(ctx context.Context, e Event) {
	level := slog.LevelDebug
	switch {
	case e.Kind == GivenUp:
		level = slog.LevelError
	case e.Err != nil, e.Kind == Recovered, e.Kind == Lost, e.Kind == Unknown:
		level = slog.LevelWarn
	case e.Kind == Ended:
		level = slog.LevelInfo
	}
	args := []any{"saga", e.Saga, "state", e.State}
	if e.Step != "" {
		args = append(args, "step", e.Step, "attempt", e.Attempt)
	}
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	slog.Log(ctx, level, "saga "+e.Kind.String(), args...)
}

// Stats are a runner's counters, since it was made.
type Stats struct {
	InHand      int64  // sagas that it works on now
	Completed   uint64 // sagas all of whose steps were done
	Compensated uint64 // sagas that were undone
	Parked      uint64 // sagas given up
	Failed      uint64 // attempts that failed
	Recovered   uint64 // sagas whose runner had crashed
	Lost        uint64 // sagas that another runner took over
}
