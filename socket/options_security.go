package socket

import "context"

// securityConfig is what options set about who may talk to the socket.
type securityConfig struct {
	authenticate func(ctx context.Context, r Request) Verdict // nil: nobody is asked
}

func (c *config) checkSecurity() error { return nil }
