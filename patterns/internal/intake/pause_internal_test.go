package intake

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Of a Pause and a Resume at the same time one comes last, for those who send and for those who handle.
func TestPauseAndResumeAtOnce(t *testing.T) {
	t.Parallel()
	l := New(nil, nil) // which nobody runs
	var credit int
	var mu sync.Mutex
	l.Credited(func(messages, bytes int) error {
		assert.Equal(t, 9, bytes)
		runtime.Gosched() // what goes to peers may take its time
		mu.Lock()
		defer mu.Unlock()
		credit = messages
		return nil
	}, 3, 9)
	for range 1000 {
		var both sync.WaitGroup
		both.Go(l.Pause)
		both.Go(l.Resume)
		both.Wait()
		if paused := l.gate.isShut(); paused != (credit == 0) {
			t.Fatalf("paused %v, with a credit of %d", paused, credit)
		}
	}
}
