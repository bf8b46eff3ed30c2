//go:build unix

package bench

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many files this process may have open, as may those that it starts.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}
