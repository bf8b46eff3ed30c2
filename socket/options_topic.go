package socket

import (
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// topicConfig is what options set about publishing and subscribing, and about what a full queue does.
type topicConfig struct {
	noDrop             bool
	conflate           bool
	policed            bool // WithDropPolicy was given
	policy             DropPolicy
	peerPolicy         func(*Peer) DropPolicy
	verbose            bool
	verboser           bool
	manual             bool
	welcome            [][]byte
	invert             bool
	onlyFirstSubscribe bool
	verboseUnsubscribe bool
	lastTopics         int // WithLastValue
	lastBytes          int
}

// blocks reports whether a full queue may have a publisher wait.
func (c *topicConfig) blocks() bool { return c.policy == Block || c.peerPolicy != nil }

// checkTopics finds options that contradict each other.
func (c *topicConfig) checkTopics() error {
	for _, pair := range []struct {
		both             bool
		one, other, note string
	}{
		{c.conflate && c.noDrop, "WithConflate", "WithNoDrop", "the one drops all but the last message, the other none"},
		{c.conflate && c.policed, "WithConflate", "WithDropPolicy", "WithConflate is a policy of its own"},
		{c.conflate && c.peerPolicy != nil, "WithConflate", "WithPeerDropPolicy", "WithConflate is a policy of its own"},
		{c.noDrop && c.policed && c.policy != Block, "WithNoDrop", "WithDropPolicy", "WithNoDrop is the policy Block"},
		{c.noDrop && c.peerPolicy != nil, "WithNoDrop", "WithPeerDropPolicy", "WithNoDrop is the policy Block for every peer"},
		{c.policed && c.peerPolicy != nil, "WithDropPolicy", "WithPeerDropPolicy", "have the function return the policy instead"},
		{c.verbose && c.verboser, "WithVerbose", "WithVerboser", "the one hides cancellations that the other shows"},
		{c.manual && c.verbose, "WithManual", "WithVerbose", "WithManual shows every subscription already"},
		{c.manual && c.verboser, "WithManual", "WithVerboser", "WithManual shows every subscription and cancellation already"},
		{c.invert && c.welcome != nil, "WithInvertMatching", "WithWelcomeMessage", "who subscribed to the welcome would not take it"},
		{c.conflate && c.lastTopics > 0, "WithConflate", "WithLastValue", "of the last messages of many topics the one keeps one"},
		{c.policy == Conflate && c.lastTopics > 0, "WithDropPolicy(Conflate)", "WithLastValue", "of the last messages of many topics the one keeps one"},
		{c.invert && c.lastTopics > 0, "WithInvertMatching", "WithLastValue", "who subscribes to a topic would not take it"},
	} {
		if pair.both {
			return fmt.Errorf("%w: %s with %s: %s", ErrOption, pair.one, pair.other, pair.note)
		}
	}
	if c.noDrop {
		c.policy = Block
	}
	if c.conflate {
		c.policy = Conflate
	}
	return nil
}

// WithNoDrop makes Send of PUB, XPUB and RADIO block while a matching subscriber's queue is full, instead of
// dropping the message for that subscriber (ZMQ_XPUB_NODROP). It is WithDropPolicy(Block).
func WithNoDrop() Option {
	return only("WithNoDrop", func(c *config) { c.noDrop = true }, zmtp.Pub, zmtp.XPub, zmtp.Radio)
}

// WithDropPolicy sets what PUB, XPUB and RADIO do with a message for a subscriber whose queue stands at the high-water mark. Default:
// DropNewest, as RFC 29 and 48 have it.
func WithDropPolicy(policy DropPolicy) Option {
	return func(c *config) error {
		if int(policy) >= len(policyNames) {
			return bad("WithDropPolicy", policy, "want DropNewest, DropOldest, Conflate, Disconnect or Block")
		}
		return only("WithDropPolicy", func(c *config) { c.policed, c.policy = true, policy }, zmtp.Pub, zmtp.XPub, zmtp.Radio)(c)
	}
}

// WithPeerDropPolicy is WithDropPolicy with a policy of its own for each subscriber: choose is asked once for each connection, before
// the first message, and must return soon. An unknown policy counts as DropNewest.
func WithPeerDropPolicy(choose func(*Peer) DropPolicy) Option {
	return func(c *config) error {
		if choose == nil {
			return bad("WithPeerDropPolicy", "nil", "want a function")
		}
		return only("WithPeerDropPolicy", func(c *config) { c.peerPolicy = choose }, zmtp.Pub, zmtp.XPub, zmtp.Radio)(c)
	}
}

// WithConflate makes PUSH, PULL, PUB, SUB and DEALER keep the last message only, for each peer and in each direction (ZMQ_CONFLATE): a
// message that nobody took yet goes when the next one comes, and is counted (DropConflated). The high-water marks do not apply. Messages have one frame:
// Send refuses others (ErrState). For messages of several frames see WithDropPolicy(Conflate).
func WithConflate() Option {
	return only("WithConflate", func(c *config) { c.conflate = true }, zmtp.Push, zmtp.Pull, zmtp.Pub, zmtp.Sub, zmtp.Dealer)
}

// WithVerbose makes XPUB pass every subscription to Recv, not only the first for a topic
// (ZMQ_XPUB_VERBOSE).
func WithVerbose() Option {
	return only("WithVerbose", func(c *config) { c.verbose = true }, zmtp.XPub)
}

// WithVerboser makes XPUB pass every subscription and every cancellation to Recv, not only the first for a topic and the last
// (ZMQ_XPUB_VERBOSER). What a peer takes back that it never asked for is not shown.
func WithVerboser() Option {
	return only("WithVerboser", func(c *config) { c.verboser = true }, zmtp.XPub)
}

// WithManual leaves it to the application of an XPUB what its peers are subscribed to (ZMQ_XPUB_MANUAL): Recv returns every subscription and
// cancellation, and none has an effect of its own. See XPub.Grant and XPub.Revoke, and SendTo for what ZMQ_XPUB_MANUAL_LAST_VALUE is for.
func WithManual() Option {
	return only("WithManual", func(c *config) { c.manual = true }, zmtp.XPub)
}

// WithWelcomeMessage makes PUB and XPUB send this message, of one or more frames, to each peer as soon as it is subscribed to a topic that
// the first frame begins with, once a connection (ZMQ_XPUB_WELCOME_MSG, which is sent to every peer). It tells a subscriber that it misses nothing of that
// topic from now on. Default: none.
func WithWelcomeMessage(frames ...[]byte) Option {
	return func(c *config) error {
		if len(frames) == 0 {
			return bad("WithWelcomeMessage", "", "want at least one frame")
		}
		welcome := Msg{Frames: slices.Clone(frames)}.Clone().Frames
		return only("WithWelcomeMessage", func(c *config) { c.welcome = welcome }, zmtp.Pub, zmtp.XPub)(c)
	}
}

// WithInvertMatching makes PUB and XPUB send each message to the peers without a matching subscription instead of those with one
// (ZMQ_INVERT_MATCHING). SUB must be given it as well, since it looks at what arrives again.
func WithInvertMatching() Option {
	return only("WithInvertMatching", func(c *config) { c.invert = true }, zmtp.Pub, zmtp.XPub, zmtp.Sub)
}

// WithOnlyFirstSubscribe makes XPUB and XSUB take the first frame of a message of several frames as a subscription if it
// begins with 1 or 0; the other frames are a message of their own, whatever they begin with (ZMQ_ONLY_FIRST_SUBSCRIBE). Without it only
// messages of one frame are subscriptions, and the others are passed on as they are. One end is enough: an XPUB that has it does the same with
// what an XSUB that has it left over.
func WithOnlyFirstSubscribe() Option {
	return only("WithOnlyFirstSubscribe", func(c *config) { c.onlyFirstSubscribe = true }, zmtp.XPub, zmtp.XSub)
}

// WithVerboseUnsubscribe makes XSUB tell its publishers of every Subscribe and Unsubscribe, not only of the first of a topic and the last
// (ZMQ_XSUB_VERBOSE_UNSUBSCRIBE): behind an XPUB with WithVerboser, so that publishers see each subscriber. libzmq publishers do not count subscriptions, and
// stop sending a topic at the first cancellation.
func WithVerboseUnsubscribe() Option {
	return only("WithVerboseUnsubscribe", func(c *config) { c.verboseUnsubscribe = true }, zmtp.XSub)
}
