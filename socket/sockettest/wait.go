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

// Soon returns a context that ends after a moment, for what is expected not to happen.
func Soon(t TB) context.Context { return within(t, 50*time.Millisecond) }

// Limit returns a context that ends after Timeout, for what must happen soon.
func Limit(t TB) context.Context { return within(t, Timeout) }

func within(t TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
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
