package sockettest

import (
	"context"
	"time"
)

// Try returns a context that has ended: it makes a call a try, which does what it can without waiting.
func Try() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Soon returns a context that ends after a moment, for what is expected not to happen. The moment is one in which this process runs: where the machine
// stops it for longer, all that is under way still has most of the moment left.
func Soon(t TB) context.Context {
	const parts, part = 10, 5 * time.Millisecond // a stop takes one of them, however long it is
	m := &moment{Context: t.Context(), done: make(chan struct{})}
	left := parts
	var pass func()
	pass = func() {
		if left--; left == 0 {
			close(m.done)
			return
		}
		time.AfterFunc(part, pass)
	}
	time.AfterFunc(part, pass)
	return m
}

// moment is a context that ends by its own time and no other.
type moment struct {
	context.Context
	done chan struct{}
}

func (m *moment) Done() <-chan struct{} { return m.done }

func (m *moment) Err() error {
	select {
	case <-m.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Limit returns a context that ends after Timeout, for what must happen soon.
func Limit(t TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	t.Cleanup(cancel)
	return ctx
}

// Unused returns a TCP endpoint that nobody listens on before the test does. Until the test ends the
// system gives its port to no one who asks for any port.
func Unused(t TB) string {
	t.Helper()
	addr, release, err := reserve()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	t.Cleanup(release)
	return "tcp://" + addr
}
