package patterns

import "github.com/meshmq/meshmq/socket/spool"

// Counts says how the messages of a receiver fared since it was made.
type Counts struct {
	Handled    uint64 // the handler returned nil
	Failed     uint64 // the handler returned an error or panicked
	Malformed  uint64 // did not decode, or were larger than the socket takes, which ends the connection; so no handler saw them
	Expired    uint64 // came when nobody wanted them any more, so no handler saw them
	Unhandled  uint64 // had arrived, and were given up by Close or at the deadline of Shutdown
	Unanswered uint64 // are among those above, and their sender was not told, since the connection, or the lease, had ended: they come again
	InHand     int64  // are with a handler now
}

// Delays says how the messages fared that a Producer was to send later.
type Delays struct {
	Waiting int          // for their time, or for room
	GivenUp uint64       // were too large when it was their time
	Spool   *spool.Stats // where they wait; nil without WithSpool
}
