package discovery

import (
	"context"
	"errors"
	"iter"
)

// ErrClosed is what a registry, a Follower or a Node returns once it was closed.
var ErrClosed = errors.New("discovery: closed")

// Registry is where instances are announced and watched. Its methods may be called from any
// goroutine.
type Registry interface {
	// Announce makes in known to those who watch its service until withdraw is called, ctx ends
	// or the registry is closed. It returns when the announcement is under way, or with the
	// reason why it cannot be. Announcing an ID again replaces what was announced under it
	// (watchers see a Change); the older withdraw then does nothing. The service of an ID cannot
	// change. Withdraw may be called more than once; it returns when watchers have been told.
	Announce(ctx context.Context, in Instance) (withdraw func(), err error)

	// Watch yields an Up for each instance of service there is, and goes on with what changes.
	// An empty service watches all services. It includes what this registry announced itself;
	// Follow and Node leave themselves out. The sequence ends when ctx ends, or with one error.
	// It runs on the caller's goroutine and may be ranged over more than once.
	Watch(ctx context.Context, service string) iter.Seq2[Event, error]
}

// Kind says what happened to an instance.
type Kind int

// An instance goes Up once, may Change any number of times, and goes Down.
const (
	Up     Kind = iota + 1 // it was not known before
	Change                 // its name, endpoints or meta are different now
	Down                   // it is gone
)

// String returns "up", "change" or "down".
func (k Kind) String() string {
	switch k {
	case Up:
		return "up"
	case Change:
		return "change"
	case Down:
		return "down"
	}
	return "unknown"
}

// Event is a change in what a registry knows. Instance is the state after an Up or a Change and
// the last known state for a Down.
type Event struct {
	Kind     Kind
	Instance Instance
	// Expired tells a Down for lack of a sign of life from one the instance asked for. A live
	// connection is better evidence than an expired record: Follow keeps such a peer.
	Expired bool
}

// Diff returns the events that lead from before to after, both keyed by ID: first Down, then
// Change and Up, each in the order of IDs.
func Diff(before, after map[string]Instance) []Event {
	var events []Event
	for _, id := range sortedKeys(before) {
		if _, ok := after[id]; !ok {
			events = append(events, Event{Kind: Down, Instance: before[id]})
		}
	}
	for _, id := range sortedKeys(after) {
		was, ok := before[id]
		if !ok {
			events = append(events, Event{Kind: Up, Instance: after[id]})
		} else if !was.Equal(after[id]) {
			events = append(events, Event{Kind: Change, Instance: after[id]})
		}
	}
	return events
}
