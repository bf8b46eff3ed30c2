package conf

import (
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket/spool"
)

// Work is what options set that are about work, and about keeping messages.
type Work struct {
	AtLeastOnce bool
	Spool       *Spool  // nil for none
	Window      *Window // nil for none
	Lease       time.Duration
	Prefetch    int // zero for the default
	KeyOrder    *KeyOrder
	Priorities  bool
	DeadLetters func(number uint64, reason string, attempts int, e *codec.Envelope, frames [][]byte)
}

// Spool is where and how messages are kept.
type Spool struct {
	Dir     string
	Options spool.Options
}

// Window is where and how it is kept which messages were handled.
type Window struct {
	Dir     string
	Options spool.WindowOptions
}

// KeyOrder is patterns.KeyOrder, with nothing left to defaults.
type KeyOrder struct {
	Attempts int
	Min, Max time.Duration
}
