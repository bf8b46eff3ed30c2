package sockettest

import (
	"context"
	"net"
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

// Unused returns a TCP endpoint that nobody listens on, nor will by chance.
func Unused(t TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer ln.Close()
	return "tcp://" + ln.Addr().String()
}
