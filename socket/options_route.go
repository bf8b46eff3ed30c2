package socket

import (
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// routeConfig is what options set about who gets a message, and about requests.
type routeConfig struct {
	relaxed          bool
	correlate        bool
	mandatory        bool
	peerLimits       bool
	handover         bool
	notifyConnect    bool
	notifyDisconnect bool
	leastOutstanding bool
	reroute          bool
}

func (c *config) checkRoute() error {
	switch {
	case c.conflate && c.leastOutstanding:
		return fmt.Errorf("%w: WithConflate and WithLeastOutstanding: queues that hold one message do not tell peers apart", ErrOption)
	case c.conflate && c.reroute:
		return fmt.Errorf("%w: WithConflate and WithReroute: what a peer left would take the place of what is newer", ErrOption)
	}
	return nil
}

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

// WithMandatory says what Send of ROUTER does with a message that cannot be queued (ZMQ_ROUTER_MANDATORY). True, the default: an unknown
// routing id is ErrNoPeer, and a full queue blocks. False, as libzmq has it by default: Send never blocks, drops the message and counts
// it as DropUnroutable or DropFull.
func WithMandatory(mandatory bool) Option {
	return only("WithMandatory", func(c *config) { c.mandatory = mandatory }, zmtp.Router)
}

// WithPeerLimits has peers told in the handshake how large a message and a frame this socket takes (WithMaxMessageSize, WithMaxFrameSize), and what they tell heeded: a
// message that would end the connection is not sent. Send is ErrTooLarge for one that its peer does not take, that of PUSH and DEALER where no peer takes it, those included that Connect has yet to reach; PUB
// and XPUB drop it for that subscriber, and count that as DropRefused. Both ends need it. What is queued before the peer is known goes out whatever its size. Default: off, since
// it lets a peer make Send to it fail; on acknowledged links sizes are told, and heeded, without it.
func WithPeerLimits() Option {
	return only("WithPeerLimits", func(c *config) { c.peerLimits = true },
		zmtp.Push, zmtp.Pull, zmtp.Dealer, zmtp.Router, zmtp.Pub, zmtp.XPub, zmtp.Sub, zmtp.XSub)
}

// WithHandover says who keeps an identity that two peers of a ROUTER announce (ZMQ_ROUTER_HANDOVER). True, the default: the newcomer, since
// mostly it is the same peer back from a crash; the connection before is closed. False: the peer that has it; the newcomer
// is refused in the handshake. Either way both peers get to know why, where they are of this library, as an event. Peers
// that both live take turns, the loser coming back after the pause of its WithReconnect; WithReconnectStop(StopOnHandshakeFailed) keeps it away.
func WithHandover(handover bool) Option {
	return only("WithHandover", func(c *config) { c.handover = handover }, zmtp.Router)
}

// WithNotify has Recv of ROUTER and STREAM return a message of the routing id and an empty frame when a peer has connected, handshake done, and
// when it has disconnected, behind all that it sent (ZMQ_ROUTER_NOTIFY, ZMQ_STREAM_NOTIFY). Default: neither for ROUTER, both for STREAM.
func WithNotify(connect, disconnect bool) Option {
	return only("WithNotify", func(c *config) { c.notifyConnect, c.notifyDisconnect = connect, disconnect }, zmtp.Router, streamType)
}

// WithLeastOutstanding has Send prefer the peer with the fewest messages queued, and take turns among equals, instead of taking turns
// alone. What it can know is what this socket has not written yet: messages in the system's buffers and at the peer do not count, so it
// tells peers apart once a slow one has filled those. It looks at 32 peers for a message. Default: off.
func WithLeastOutstanding() Option {
	return only("WithLeastOutstanding", func(c *config) { c.leastOutstanding = true }, zmtp.Push, zmtp.Dealer, zmtp.Req, zmtp.Client, zmtp.Scatter)
}

// WithReroute has PUSH and SCATTER hand what is queued for a peer that left to the peers that are there, as far as they have room, in
// place of dropping it (RFC 30 has the queue destroyed). That is what was not written whole to the connection: what was may be lost on the way all the
// same. It concerns peers that connected to us, and with WithImmediate those that we connected to; other endpoints keep their queue. Default: off.
func WithReroute() Option {
	return only("WithReroute", func(c *config) { c.reroute = true }, zmtp.Push, zmtp.Scatter)
}
