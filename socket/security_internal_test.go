package socket

import "context"

// Answering has f decide who may come in.
func Answering(f func(context.Context, Request) Verdict) Option {
	return func(c *config) error {
		c.authenticate = f
		return nil
	}
}
