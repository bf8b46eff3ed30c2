package intake

import "sync"

// employ has n goroutines call f, and returns when all have returned from it. One that a handler ends is replaced.
func employ(n int, f func()) {
	var all sync.WaitGroup
	var begin func()
	begin = func() {
		all.Go(func() { // ended by f, awaited below
			returned := false
			defer func() {
				if !returned {
					begin()
				}
			}()
			f()
			returned = true
		})
	}
	for range n {
		begin()
	}
	all.Wait()
}
