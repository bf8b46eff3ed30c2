package socket

import "github.com/meshmq/meshmq/transport/zmtp"

// routeConfig is what options set about who gets a message, and about requests.
type routeConfig struct {
	relaxed   bool
	correlate bool
}

func (c *routeConfig) checkRoute() error { return nil }

// WithRelaxed lets REQ send again before the reply has come; the old request is given up
// (ZMQ_REQ_RELAXED). A request that failed can always be followed by another.
func WithRelaxed() Option {
	return only("WithRelaxed", func(c *config) { c.relaxed = true }, zmtp.Req)
}

// WithCorrelate makes REQ put a 4-byte request id before the empty delimiter towards every peer
// (ZMQ_REQ_CORRELATE). Without it, only meshmq REP peers are sent one.
func WithCorrelate() Option {
	return only("WithCorrelate", func(c *config) { c.correlate = true }, zmtp.Req)
}
