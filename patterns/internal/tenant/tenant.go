// Package tenant is what those have in common who work by leases until they are shut down: relays of outboxes and runners of sagas.
package tenant

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// Tenant is one of them: its one Run at a time, and its Shutdown.
type Tenant struct {
	Owner   string          // of leases; no other tenant has it
	Stopped context.Context // ends when no more is to be taken
	Given   context.Context // ends when what is in hand is given up

	stop, abandon context.CancelFunc
	wake          chan struct{} // has room for one

	mu      sync.Mutex    // guards running
	running chan struct{} // closed unless there is a Run
}

// New returns a Tenant that does not run.
func New() *Tenant {
	host, _ := os.Hostname() // for people who look at a lease; the id is what tells tenants apart
	t := &Tenant{Owner: fmt.Sprintf("%s %d %s", host, os.Getpid(), codec.NewID()), wake: make(chan struct{}, 1), running: make(chan struct{})}
	t.Stopped, t.stop = context.WithCancel(context.Background())
	t.Given, t.abandon = context.WithCancel(context.Background())
	close(t.running)
	return t
}

// Begin is what Run begins with: it is socket.ErrState while another one runs.
func (t *Tenant) Begin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.running:
	default:
		return fmt.Errorf("%w: it runs already", socket.ErrState)
	}
	t.running = make(chan struct{})
	return nil
}

// End is what Run ends with.
func (t *Tenant) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.running)
}

// Wake ends a Sleep that it may end, now or the next.
func (t *Tenant) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Sleep waits for d, for the end of ctx, for Shutdown, and with wakes for Wake.
func (t *Tenant) Sleep(ctx context.Context, d time.Duration, wakes bool) {
	var wake chan struct{}
	if wakes {
		wake = t.wake
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	case <-t.Stopped.Done():
	}
}

// Shutdown returns when Run has; or when ctx ends, with its error. What is in hand then is given up.
func (t *Tenant) Shutdown(ctx context.Context) error {
	t.stop()
	defer t.abandon()
	t.mu.Lock()
	running := t.running
	t.mu.Unlock()
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
