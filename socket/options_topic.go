package socket

import "github.com/meshmq/meshmq/transport/zmtp"

// topicConfig is what options set about publishing and subscribing.
type topicConfig struct {
	noDrop  bool
	verbose bool
}

func (c *topicConfig) checkTopics() error { return nil }

// WithNoDrop makes Send of PUB and XPUB block while a matching subscriber's queue is full, instead of
// dropping the message for that subscriber (ZMQ_XPUB_NODROP).
func WithNoDrop() Option {
	return only("WithNoDrop", func(c *config) { c.noDrop = true }, zmtp.Pub, zmtp.XPub)
}

// WithVerbose makes XPUB pass every subscription to Recv, not only the first for a topic
// (ZMQ_XPUB_VERBOSE).
func WithVerbose() Option {
	return only("WithVerbose", func(c *config) { c.verbose = true }, zmtp.XPub)
}
