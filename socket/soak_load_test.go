//go:build linux || darwin

package socket_test

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// soakLoad is how much of the machine soaks take, all together: row 43 of the fault plan has half.
const soakLoad = 0.5

var began = time.Now()

// load returns how much of the machine's processors this process has had since it began, and those that it started, once they have ended.
func load() float64 {
	return busy().Seconds() / time.Since(began).Seconds() / float64(runtime.NumCPU())
}

func busy() (d time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if syscall.Getrusage(who, &used) == nil {
			d += time.Duration(used.Utime.Nano() + used.Stime.Nano())
		}
	}
	return d
}

// keepLoad waits, in a soak that is to be long, until the load has gone down to what it may be.
func keepLoad() {
	if os.Getenv("SOAK") == "" {
		return
	}
	enough := time.Duration(float64(busy()) / soakLoad / float64(runtime.NumCPU()))
	<-time.After(enough - time.Since(began))
}
