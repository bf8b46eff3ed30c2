package sockettest

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// patience is how long LeakCheck waits for goroutines to end. Close waits for those of a socket, so what
// is still there a moment later is lost; the rest is allowance for a loaded machine.
const patience = 30 * time.Second

// notOurs are functions in whose goroutines a test has no say.
var notOurs = []string{
	"os/signal.loop(",        // starts with the first signal.Notify and never ends
	"internal/fuzz.",         // the fuzzing engine's own
	"internal/singleflight.", // a name lookup that was cancelled ends by its own time limit
	"runtime.runFinalizers(", // shows up while it runs a finalizer
	"runtime.runCleanups(",   // likewise for a cleanup
	"/nats-server/v2/server", // a server that was stopped may leave some
}

// LeakCheck runs the tests of a package and ends the process. If they passed but left goroutines behind,
// it prints their stacks and exits with 1. It is all that TestMain has to do:
//
//	func TestMain(m *testing.M) { sockettest.LeakCheck(m) }
func LeakCheck(m interface{ Run() int }) {
	os.Exit(leakCheck(m, patience, os.Stderr))
}

// leakCheck returns the exit code. Goroutines that were there before the run are not the tests'.
func leakCheck(m interface{ Run() int }, wait time.Duration, out io.Writer) int {
	before := goroutines()
	if code := m.Run(); code != 0 {
		return code
	}
	leaked := leaks(before)
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for end := time.Now().Add(wait); len(leaked) > 0 && time.Now().Before(end); leaked = leaks(before) {
		<-retry.C
	}
	if len(leaked) == 0 {
		return 0
	}
	fmt.Fprintf(out, "goroutines left after the tests: %d\n", len(leaked))
	for _, stack := range leaked {
		fmt.Fprintf(out, "\n%s\n", stack)
	}
	return 1
}

// leaks returns the stacks of the goroutines that are there now but were not before.
func leaks(before map[string]string) (stacks []string) {
next:
	for id, stack := range goroutines() {
		if _, old := before[id]; old {
			continue
		}
		for _, function := range notOurs {
			if strings.Contains(stack, function) {
				continue next
			}
		}
		stacks = append(stacks, stack)
	}
	return stacks
}

// goroutines returns the stack of every goroutine by its id.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf)), "\n\n") {
		id, _, _ := strings.Cut(stack, " [") // "goroutine 12 [select]:"
		all[id] = stack
	}
	return all
}
