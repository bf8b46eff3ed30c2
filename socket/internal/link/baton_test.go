package link

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBaton_IsHeldByOne(t *testing.T) {
	t.Parallel()
	var b Baton
	var all sync.WaitGroup
	n := 0 // guarded by the baton: the race detector sees to it
	for range 8 {
		all.Go(func() {
			for range 1000 {
				b.Lock()
				n++
				b.Unlock()
				if b.TryLock() {
					n++
					n--
					b.Unlock()
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, 8000, n)
	assert.True(t, b.TryLock())
	assert.False(t, b.TryLock())
}

func TestBaton_TimeGoesOnWhileItIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b Baton
		b.Lock()
		start, got := time.Now(), make(chan time.Duration)
		go func() {
			b.Lock()
			got <- time.Since(start)
		}()
		<-time.After(time.Minute)
		b.Unlock()
		assert.Equal(t, time.Minute, <-got)
	})
}
