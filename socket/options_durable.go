package socket

import (
	"fmt"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// durableConfig is what options set about durable subscriptions.
type durableConfig struct {
	durable           *zmtp.Resume // of a subscriber
	keyOrder          bool
	messageKey        func(frames [][]byte) []byte // of a publisher
	durableAuthorizer func(peer *Peer, name string) error
	maxDurables       int
}

// checkDurable finds what durable subscriptions cannot be combined with.
func (c *config) checkDurable() error {
	if c.keyOrder {
		if c.durable == nil {
			return fmt.Errorf("%w: WithKeyOrder without WithDurable", ErrOption)
		}
		c.durable.ByKey = true
	}
	if c.durable != nil {
		c.ack = true
	}
	if c.durable != nil && c.invert {
		return fmt.Errorf("%w: WithDurable and WithInvertMatching exclude each other: publishers with a log send what is subscribed to", ErrOption)
	}
	if c.openSpool != nil {
		return nil
	}
	for option, set := range map[string]bool{"WithMessageKey": c.messageKey != nil, "WithDurableAuthorizer": c.durableAuthorizer != nil} {
		if set {
			return fmt.Errorf("%w: %s without WithSpool", ErrOption, option)
		}
	}
	return nil
}

// WithDurable has a SUB or XSUB get what is published while it is away. The publishers, PUB or XPUB with WithSpool, keep what they publish in a log, and the
// position of each name in it; from says where a name begins that a publisher does not know yet: spool.Beginning, spool.End, spool.At, spool.Since. A publisher that knows
// it goes on where the name was. Names have 1 to 128 letters, digits, '.', '_' and '-', and begin with no '.'.
//
// It implies WithAck: messages are acknowledged by the next Recv or as WithManualAck has it, and come again when the connection ends before.
// Several subscribers with the same name share the messages: each goes to one of them, and to another when that one ends. They are subscribed to the same topics: what one wants and the others do not
// would be passed over whenever that one is away. A publisher refuses who differs from those that are connected, when it comes or when it changes, with what they differ in (ErrState, and Disconnected on both sides); what that one had goes to the others. It comes again
// by itself, and is let in when they have changed as well, or have gone: so each changes in its turn, and the last one brings the others in. One that is alone, or has subscribed to nothing, agrees with all.
// To change what a group wants while it works, take a new name for what is new, or change all members.
//
// Subscribe before Connect or Bind, or to all topics in the first call: a publisher passes over what no member of the name that is connected is subscribed to, for good, and later changes come to it one by one, those of one call as well. With nothing subscribed to,
// nothing is passed over, and what had come goes back as Recv comes to it, to be sent again.
//
// Messages that left a log before they were delivered, because its retention or quota is less than the time away, are never passed over in silence: Recv returns a *MissedError,
// which is an ErrMissed, once for each gap, before the first message behind it and maybe before some in front of it, and goes on at the next call. It is a Missed event as well, and counts in Stats.Missed.
//
// A publisher without a log is refused (HandshakeFailed), whether it is of this library or another: what it would send is lost while nobody listens. So are we by one whose
// WithDurableAuthorizer or WithMaxDurables stands against it (Disconnected, with the reason). transport/zmtp/DURABLE.md specifies it. Default: off.
func WithDurable(name string, from spool.Start) Option {
	return func(c *config) error {
		if !zmtp.ValidDurableName(name) {
			return bad("WithDurable", fmt.Sprintf("%.40q", name), "want 1 to 128 letters, digits, '.', '_' and '-', not beginning with '.'")
		}
		r := &zmtp.Resume{Name: name}
		switch end, number, since := from.Place(); {
		case end:
			r.From = zmtp.FromEnd
		case number > 0:
			r.From, r.Value = zmtp.FromNumber, min(number, zmtp.MaxNumber)
		case !since.IsZero():
			r.From, r.Value = zmtp.FromTime, uint64(since.UnixNano())
		}
		return only("WithDurable", func(c *config) { c.durable = r }, zmtp.Sub, zmtp.XSub)(c)
	}
}

// WithKeyOrder has the members of a durable subscription get messages of one key in their order: those of a key are with one member at a time, and while one of them waits to be sent
// again, after Msg.Nack, the publisher sends no later ones of its key. Those that it had sent already are in the member's inbox, as many as its credit, and are returned before the one that was
// refused comes again. Where that matters, refuse them too until it has come, each of which counts for WithAttempts; or have WithAckCredit of 1, so that nothing waits in the inbox.
//
// The key is the topic, unless the publisher has WithMessageKey; members do not know it. All members of a name have WithKeyOrder or none: the publisher refuses others. It needs WithDurable, and is not for use with WithLease: what is given back could go to nobody else while later messages of its key wait in the inbox. Default: off.
func WithKeyOrder() Option {
	return only("WithKeyOrder", func(c *config) { c.keyOrder = true }, zmtp.Sub, zmtp.XSub)
}

// WithMessageKey says what the key of a message is for subscribers with WithKeyOrder: an order number, say. It is called on goroutines of the socket's own, several times for a
// message, must return the same each time, and must not keep or change the frames. It needs WithSpool. Default: the topic, which is the first frame.
func WithMessageKey(key func(frames [][]byte) []byte) Option {
	return func(c *config) error {
		if key == nil {
			return bad("WithMessageKey", "nil", "want a function")
		}
		return only("WithMessageKey", func(c *config) { c.messageKey = key }, zmtp.Pub, zmtp.XPub)(c)
	}
}

// WithDurableAuthorizer has authorize decide which peers of PUB or XPUB may use which durable subscriptions: who shares a name takes messages from the others of that name. An
// error refuses the peer: it is told so, and the connection ends; that counts in Stats.Forbidden and is a Forbidden event. What the peer gets is up to
// WithTopicAuthorizer, as always. It is called on the goroutine that reads from the peer, and must not use the socket. It needs WithSpool.
// Default: all names are for everybody.
func WithDurableAuthorizer(authorize func(peer *Peer, name string) error) Option {
	if authorize == nil {
		return func(*config) error { return bad("WithDurableAuthorizer", "nil", "want a function") }
	}
	return only("WithDurableAuthorizer", func(c *config) { c.durableAuthorizer = authorize }, zmtp.Pub, zmtp.XPub)
}

// WithMaxDurables bounds how many durable subscriptions the log of a PUB or XPUB with WithSpool has, with members or without: each name that a peer makes up takes a position on disk
// until RemoveDurable. A peer with one more is refused. Default 1000; zero means no limit but the log's own, which is 10000.
func WithMaxDurables(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return bad("WithMaxDurables", n, "want 0 (no limit) or more")
		}
		return only("WithMaxDurables", func(c *config) { c.maxDurables = n }, zmtp.Pub, zmtp.XPub)(c)
	}
}
