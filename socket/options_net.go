package socket

// netConfig is what options set about connections below ZMTP.
type netConfig struct {
	maxPeers int
}

func (c *netConfig) checkNet() error { return nil }

// WithMaxPeers bounds the number of accepted peers at a time; further ones are refused before the
// handshake. Default and zero: no bound.
func WithMaxPeers(n int) Option {
	return count("WithMaxPeers", n, func(c *config) { c.maxPeers = n })
}
