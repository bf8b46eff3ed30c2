package codec

import (
	"sync/atomic"
	"time"
)

// reading is one of both clocks, the wall's and the monotonic one. From it the wall's is told by the monotonic one alone, at half the cost: on virtual
// machines reading a clock takes as long as writing an envelope.
type reading struct {
	at    time.Time
	nanos int64 // since 1970
}

var anchor atomic.Pointer[reading]

// anchorAge is for how long: a wall clock that is set is seen this much later.
const anchorAge = 10 * time.Millisecond

// now is time.Now.
func now() time.Time {
	r, age := latest()
	return r.at.Add(age)
}

// nanos is time.Now in nanoseconds since 1970, before which a clock that was never set may be: zero then.
func nanos() int64 {
	r, age := latest()
	return r.nanos + int64(age)
}

// latest returns a reading and its age.
func latest() (*reading, time.Duration) {
	if r := anchor.Load(); r != nil {
		if age := time.Since(r.at); 0 <= age && age < anchorAge {
			return r, age
		}
	}
	fresh := time.Now()
	r := &reading{fresh, max(fresh.UnixNano(), 0)}
	anchor.Store(r)
	return r, 0
}
