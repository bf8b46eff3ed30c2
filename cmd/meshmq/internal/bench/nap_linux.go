package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps in the system: the runtime's timers are late by up to a millisecond where a process has nothing else to do, since its poller counts in those.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&left, nil) // too short if a signal comes, which the caller makes up for
}
