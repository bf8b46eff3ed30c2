package socket

import (
	"fmt"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// limitConfig is what options set about how much a peer may ask of us. A peer that goes beyond is refused or disconnected, with an event and a
// count of the reason (Refusal), and the socket goes on. SECURITY.md has the table.
type limitConfig struct {
	handshakeTimeout     *time.Duration // nil for the defaults, see handshakeTime
	maxHandshakes        int
	maxHandshakesEach    int
	maxHandshakeBytes    int
	maxProperties        int
	maxPropertyBytes     int
	maxIdentity          int
	maxPeers             int
	maxPeersEach         int
	maxMessageSize       int
	maxFrameSize         int
	maxFrames            int
	wireFrames           int // maxFrames with what may come on top
	sendFrames           int // maxFrames, or that where the application sees what comes on top
	maxSubscriptions     int
	maxTopic             int
	maxSubscriptionBytes int
	maxPings             int
}

func defaultLimits() limitConfig {
	return limitConfig{
		maxHandshakes:        256,      // a hundred times what a fleet that comes back at once has under way on a LAN
		maxHandshakeBytes:    8 << 10,  // a greeting and two commands of CURVE
		maxProperties:        32,       // ZMTP has two, applications add a handful
		maxPropertyBytes:     4 << 10,  // libzmq sends under 300 bytes even with the longest identity
		maxIdentity:          255,      // RFC 37
		maxPeers:             10_000,   // idle they take some 100 MB, and twice as many goroutines
		maxMessageSize:       64 << 20, // finite, so that a peer cannot exhaust memory
		maxFrames:            1024,     // each costs a slice of ours and may be empty
		maxSubscriptions:     10_000,   // of a peer; each costs some hundred bytes
		maxTopic:             1 << 10,
		maxSubscriptionBytes: 4 << 20, // of a peer, all topics together
		maxPings:             10_000,  // a heartbeat is one in 10 s; but confirmed subscriptions are PINGs, too
	}
}

// The times that a handshake has. Who comes in gets what an honest peer needs around the world, with an authenticator that takes its time. Who we
// connect to gets as much as libzmq gives: it may be asking others about us, and has nothing to gain from having us wait.
const (
	acceptedHandshake = 5 * time.Second
	dialedHandshake   = 30 * time.Second
)

// handshakeTime is how long a handshake may take, zero for as long as it likes.
func (c *limitConfig) handshakeTime(dialed bool) time.Duration {
	switch {
	case c.handshakeTimeout != nil:
		return *c.handshakeTimeout
	case dialed:
		return dialedHandshake
	}
	return acceptedHandshake
}

// envelope is how many frames may come on top of a message: routing ids and delimiters of REQ and REP, one a hop.
const envelope = 16

// envelop works out how many frames a message may have on the wire, and how many Send is given.
func (c *config) envelop() {
	c.wireFrames, c.sendFrames = c.maxFrames, c.maxFrames
	if c.maxFrames == 0 {
		return
	}
	switch c.typ {
	case zmtp.Req, zmtp.Rep:
		c.wireFrames += envelope
	case zmtp.Dealer, zmtp.Router:
		c.wireFrames += envelope
		c.sendFrames = c.wireFrames
	}
}

// checkLimit finds limits that contradict each other.
func (c *config) checkLimit() error {
	for _, pair := range []struct {
		smaller, larger int
		what, than      string
	}{
		{c.maxFrameSize, c.maxMessageSize, "WithMaxFrameSize", "WithMaxMessageSize"},
		{c.maxHandshakesEach, c.maxHandshakes, "WithMaxHandshakes for an address", "the one for all"},
		{c.maxPeersEach, c.maxPeers, "WithMaxPeersPerAddress", "WithMaxPeers"},
	} {
		if pair.larger > 0 && pair.smaller > pair.larger {
			return fmt.Errorf("%w: %s of %d is more than %s, %d, and would never matter", ErrOption, pair.what, pair.smaller, pair.than, pair.larger)
		}
	}
	if n := len(c.identity); n > c.maxIdentity {
		return fmt.Errorf("%w: WithIdentity has %d bytes, WithMaxIdentity allows %d", ErrOption, n, c.maxIdentity)
	}
	c.envelop()
	return nil
}

// WithHandshakeTimeout bounds greeting and handshake together, whatever arrives meanwhile (ZMQ_HANDSHAKE_IVL). Default 5 s for peers that connect
// to us and 30 s, as libzmq, where we connect; zero means no bound.
func WithHandshakeTimeout(d time.Duration) Option {
	return speaking("WithHandshakeTimeout", period("WithHandshakeTimeout", d, func(c *config) { c.handshakeTimeout = &d }))
}

// WithMaxHandshakes bounds the handshakes of accepted connections that are under way, and those of one IP address (of IPv6: of one network of 64
// bits). At the bound a handshake of the address with the most of them is given up for a newcomer from another if none ends for 50 ms, so that one address, or a few, keep nobody else out. Other
// newcomers wait, for as long as a handshake may take, until somebody is done or has kept us waiting for a second: a crowd is let in as it gets on, and addresses take turns. Sixteen wait for each place at most, or 4,096
// where places have no bound, and fewer than would take a quarter of the files that the process may have open, for each socket; of a larger crowd some are refused, and come again. Default: 256, all of which an address may have while no other comes. Zero means no bound.
func WithMaxHandshakes(all, perAddress int) Option {
	return func(c *config) error {
		if all < 0 || perAddress < 0 {
			return bad("WithMaxHandshakes", fmt.Sprint(all, ", ", perAddress), "want 0 (no limit) or more")
		}
		c.maxHandshakes, c.maxHandshakesEach = all, perAddress
		return nil
	}
}

// WithMaxHandshakeBytes bounds the bytes that a peer sends for greeting and handshake, 64 of them for the greeting. Default 8 KiB; zero
// leaves the bounds on its commands, see WithMaxProperties.
func WithMaxHandshakeBytes(n int) Option {
	return speaking("WithMaxHandshakeBytes", count("WithMaxHandshakeBytes", n, func(c *config) { c.maxHandshakeBytes = n }))
}

// WithMaxProperties bounds what a peer says of itself in the handshake: how many properties, its socket type and identity among them,
// and how many bytes in one command. What we say is under the same bounds. Default 32 and 4 KiB; at least 4 and 1 KiB,
// which the protocol takes.
func WithMaxProperties(n, bytes int) Option {
	return speaking("WithMaxProperties", func(c *config) error {
		if n < 4 || bytes < 1<<10 {
			return bad("WithMaxProperties", fmt.Sprint(n, ", ", bytes), "want at least 4 properties and 1024 bytes")
		}
		c.maxProperties, c.maxPropertyBytes = n, bytes
		return nil
	})
}

// WithMaxIdentity bounds the identity that a peer announces. Default, and the most there is (RFC 37): 255 bytes; zero lets in only peers that
// announce none.
func WithMaxIdentity(bytes int) Option {
	return speaking("WithMaxIdentity", func(c *config) error {
		if bytes < 0 || bytes > 255 {
			return bad("WithMaxIdentity", bytes, "want 0 to 255 bytes")
		}
		c.maxIdentity = bytes
		return nil
	})
}

// WithMaxPeers bounds the number of accepted peers at a time; further ones are refused before the
// handshake, which is an event (HandshakeFailed). Connections in their handshake give way as WithMaxHandshakes says. Default 10,000; zero means no bound.
func WithMaxPeers(n int) Option {
	return count("WithMaxPeers", n, func(c *config) { c.maxPeers = n })
}

// WithMaxPeersPerAddress is WithMaxPeers for the peers of one IP address (of IPv6: of one network of 64 bits). Default and zero: no bound.
func WithMaxPeersPerAddress(n int) Option {
	return count("WithMaxPeersPerAddress", n, func(c *config) { c.maxPeersEach = n })
}

// WithMaxMessageSize bounds one message, all frames together: Send refuses a larger one with
// ErrTooLarge, a peer that sends a larger one is disconnected (ZMQ_MAXMSGSIZE, which counts a frame). With WithAck or WithPeerLimits peers of ours know the bound of who receives: Send
// is ErrTooLarge for what nobody takes that is connected, and what is in a spool fails there (WithAttempts). Default 64 MiB; zero means 2^48 (2^30 on 32-bit
// systems).
func WithMaxMessageSize(bytes int) Option {
	return count("WithMaxMessageSize", bytes, func(c *config) { c.maxMessageSize = bytes })
}

// WithMaxFrameSize is WithMaxMessageSize for each frame of a message (ZMQ_MAXMSGSIZE). Default and zero: a frame may be as large as a message.
func WithMaxFrameSize(bytes int) Option {
	return count("WithMaxFrameSize", bytes, func(c *config) { c.maxFrameSize = bytes })
}

// WithMaxFrames bounds the frames of one message: Send refuses more with ErrTooLarge, a peer that sends more is disconnected. The
// envelopes of REQ, REP, DEALER and ROUTER may have 16 frames besides; a REP drops a request of which they are not the envelope (DropMalformed), since its reply could not be as long.
// Default 1024; zero means no bound.
func WithMaxFrames(n int) Option {
	return count("WithMaxFrames", n, func(c *config) { c.maxFrames = n })
}

// WithMaxSubscriptions bounds the different topics or groups that one peer of a PUB, XPUB or RADIO may be subscribed to, and those that a SUB, XSUB or DISH
// may subscribe to (ErrTooLarge). Where an XPUB shows repeated subscriptions (WithManual, WithVerboser), those count, too. Default 10,000;
// zero means no bound. A forwarder's XSUB asks for what all its subscribers want together: it and its publishers may need more.
func WithMaxSubscriptions(n int) Option {
	return count("WithMaxSubscriptions", n, func(c *config) { c.maxSubscriptions = n })
}

// maxTopicEver is the longest topic that an option allows: a command is at most 32 KiB (link.In).
const maxTopicEver = 16 << 10

// WithMaxTopic bounds the length of one topic, as WithMaxSubscriptions does the number: 1 byte to 16 KiB. Default 1 KiB. Groups have
// at most 255 bytes (RFC 48) in any case.
func WithMaxTopic(bytes int) Option {
	return func(c *config) error {
		if bytes < 1 || bytes > maxTopicEver {
			return bad("WithMaxTopic", bytes, fmt.Sprintf("want 1 to %d bytes", maxTopicEver))
		}
		c.maxTopic = bytes
		return nil
	}
}

// WithMaxSubscriptionBytes bounds the different topics of one peer of a PUB, XPUB or RADIO together. Default 4 MiB; zero means no bound.
func WithMaxSubscriptionBytes(bytes int) Option {
	return count("WithMaxSubscriptionBytes", bytes, func(c *config) { c.maxSubscriptionBytes = bytes })
}

// WithMaxPings bounds the PINGs that a peer sends in a second; one that sends more is disconnected. Default 10,000; zero means no bound.
func WithMaxPings(perSecond int) Option {
	return speaking("WithMaxPings", count("WithMaxPings", perSecond, func(c *config) { c.maxPings = perSecond }))
}

// longTopic returns why a topic of n bytes is too long, if it is.
func (c *limitConfig) longTopic(n int) error {
	if n <= c.maxTopic {
		return nil
	}
	return &limitError{fmt.Errorf("%w: topic of %d bytes, WithMaxTopic allows %d", ErrTooLarge, n, c.maxTopic), RefusedTopics}
}

// manyTopics returns why who has n topics may not have another, if so.
func (c *limitConfig) manyTopics(n int) error {
	if !reached(n, c.maxSubscriptions) {
		return nil
	}
	return &limitError{fmt.Errorf("%w: more than %d topics, which WithMaxSubscriptions allows", ErrTooLarge, c.maxSubscriptions), RefusedTopics}
}

// largeTopics returns why topics of n bytes together are too many, if they are.
func (c *limitConfig) largeTopics(n int) error {
	if c.maxSubscriptionBytes == 0 || n <= c.maxSubscriptionBytes {
		return nil
	}
	return &limitError{fmt.Errorf("%w: topics of %d bytes together, WithMaxSubscriptionBytes allows %d", ErrTooLarge, n, c.maxSubscriptionBytes), RefusedTopics}
}
