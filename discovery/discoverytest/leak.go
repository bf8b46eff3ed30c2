package discoverytest

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// Main runs the tests of a package and fails if a goroutine of this module, or of the mDNS
// library it uses, is left when they have ended. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if left := leaked(); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines left:\n%s\n", len(left), bytes.Join(left, []byte("\n\n")))
		code = 1
	}
	os.Exit(code)
}

// leaked waits for goroutines to go, for those of a closed server of hashicorp/mdns cannot be
// waited for, and returns the stacks of those that stay.
func leaked() (left [][]byte) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		buf := make([]byte, 1<<20)
		stacks := bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n"))
		left = nil
		for _, s := range stacks[1:] { // the first is this one
			if bytes.Contains(s, []byte("meshmq/")) || bytes.Contains(s, []byte("hashicorp/mdns")) {
				left = append(left, s)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		<-time.After(10 * time.Millisecond)
	}
}
