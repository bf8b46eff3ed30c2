package intake

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
)

// Counts of a batch whose messages are about to be counted by the loop has none of them twice, and so never goes back. A lock that was waited for longer than a millisecond, without success once, is handed
// from who lets it go to who waits next, which runs at once: here what moves the messages, behind Counts.
func TestCountsWhileABatchIsMoved(t *testing.T) {
	t.Parallel()
	for range 5 {
		l := New(nil, nil) // which nobody runs
		l.Batched(nil)
		b := l.batched
		b.filled, b.began = true, 5 // of which a handler has the last
		var got patterns.Counts
		var both sync.WaitGroup
		b.mu.Lock()
		both.Go(func() { got = l.Counts() })
		outwait()
		both.Go(func() { b.pass(l) })
		outwait()
		b.mu.Unlock()
		b.mu.Lock() // before Counts, which is woken only now
		outwait()
		b.mu.Unlock()
		both.Wait()
		require.Equal(t, patterns.Counts{Handled: 4, InHand: 1}, got)
		require.EqualValues(t, 4, l.Counts().Handled)
	}
}

// outwait has all others run for longer than who waits for a lock puts up with.
func outwait() {
	for begin := time.Now(); time.Since(begin) < 1500*time.Microsecond; {
		runtime.Gosched()
	}
}
