package link

import (
	"sync"
	"sync/atomic"
)

// Baton is held by whoever reads a connection, which may be for as long as the peer is silent. It is a mutex that is waited for
// like a condition: in a bubble of testing/synctest, time goes on meanwhile. The zero value is free.
type Baton struct {
	state atomic.Int32
	mu    sync.Mutex // guards free
	free  sync.Cond
}

// States of a Baton.
const (
	batonFree   = iota
	batonHeld   // and nobody waits
	batonWanted // held, and somebody may wait
)

// TryLock takes the baton if it is free, and reports whether it did.
func (b *Baton) TryLock() bool { return b.state.CompareAndSwap(batonFree, batonHeld) }

// Lock takes the baton, and waits for it if it must.
func (b *Baton) Lock() {
	if b.TryLock() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.L == nil {
		b.free.L = &b.mu
	}
	for b.state.Swap(batonWanted) != batonFree {
		b.free.Wait()
	}
}

// Unlock gives the baton back.
func (b *Baton) Unlock() {
	if b.state.Swap(batonFree) == batonWanted {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.free.Signal()
	}
}
