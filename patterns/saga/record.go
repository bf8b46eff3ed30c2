package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// What callers decide on, with errors.Is.
var (
	// ErrExists: there is a saga with this id. Of Start: one of its definition, whose start was asked for before; that is no failure.
	ErrExists = errors.New("there is a saga with this id")
	// ErrNotFound: there is no saga with this id, or not any more.
	ErrNotFound = errors.New("no saga with this id")
	// ErrFenced: another runner has taken the saga over.
	ErrFenced = errors.New("the saga is another runner's by now")
	// ErrDefinition: the saga was begun by a definition that is not there, or has changed since without another version; or it is of another one than the runner's.
	ErrDefinition = errors.New("the definition is not the one the saga was begun with: give it another version and keep the old one")
	// ErrCrashed: the process ended in the middle of an attempt.
	ErrCrashed = errors.New("the process ended during the attempt")
	// ErrState: the saga is not in the state for that.
	ErrState = errors.New("the saga is in another state")
)

// State says how far a saga is.
type State uint8

// The states.
const (
	Running      State = iota + 1 // goes forward
	Compensating                  // goes back
	Completed                     // all steps are done
	Compensated                   // all steps that were begun are undone
	Parked                        // can go neither way without help: see Runner.Resume
)

var states = [...]string{"", "running", "compensating", "completed", "compensated", "parked"}

// String returns the state in lower case.
func (s State) String() string {
	if s == 0 || int(s) >= len(states) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return states[s]
}

// Ended reports whether there is nothing more to do.
func (s State) Ended() bool { return s == Completed || s == Compensated }

// Record is a saga as a Store keeps it.
type Record struct {
	ID         string
	Definition string
	Version    int
	Steps      string // the names of the definition's steps, with commas between
	State      State
	Back       bool   // of a Parked one: it was compensating
	Step       int    // the step that is next, to be done or undone, from 0
	Attempt    int    // attempts at it that have failed
	Crashes    int    // and those that ended with their owner, since the last Save
	Reason     string // the error for which it is tried again, has turned back, or was parked
	Codec      string // that wrote Data
	Data       []byte // the value
	Correlation
	Owner   string // the runner that has it, "" for none
	Epoch   int64  // how often it was claimed
	Created time.Time
	Updated time.Time
}

// Correlation is the conversation that a saga belongs to.
type Correlation struct {
	CorrelationID codec.ID // of messages that its steps send
	CausationID   codec.ID // of the message whose handling started it
}

// clone returns a copy that shares no memory.
func (r *Record) clone() *Record {
	c := *r
	c.Data = append([]byte(nil), r.Data...)
	return &c
}

// Claim is which saga a runner wants.
type Claim struct {
	Definition string
	Versions   []int
	Owner      string
	Lease      time.Duration
	ID         string // if set: this one, and only if it is Parked
}

// Query is which sagas are listed.
type Query struct {
	Definition string // "" for all
	State      State  // 0 for all
	After      string // ids above this one
	Limit      int    // 0 for 100
}

// Store keeps sagas: NewMemory, OpenJournal, NewSQL, or one of the caller's. All methods may be called by many goroutines; records are not referred to after a
// call, and those returned are the caller's. What has been confirmed survives what the store promises to survive.
//
// A claimed saga is its owner's until the lease runs out. The Epoch of the record fences: it goes up by one with each claim, and a Save with another one is ErrFenced and changes nothing.
type Store interface {
	// Create keeps a new record, which nobody owns and which is due. ErrExists if there is one with its id.
	Create(ctx context.Context, r *Record) error
	// Claim gives a saga to a runner: one that is Running or Compensating, due, and owned by nobody or by one whose lease has run out; those that have been due the longest come first. One that still has an
	// owner, which must have crashed, gets one more of Crashes. Nil if there is none.
	Claim(ctx context.Context, c Claim) (*Record, error)
	// Save replaces a record and prolongs the lease. With a lease of 0 nobody owns it any more, and it is due after the pause. ErrFenced, ErrNotFound.
	Save(ctx context.Context, r *Record, lease, pause time.Duration) error
	// Get returns a record. ErrNotFound.
	Get(ctx context.Context, id string) (*Record, error)
	// List returns records in the order of their ids, without Data.
	List(ctx context.Context, q Query) ([]*Record, error)
}
