package socket

import (
	"fmt"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// ackConfig is what options set about acknowledged links.
type ackConfig struct {
	ack         bool
	ackManually bool
	ackMessages int
	ackBytes    int
	ackDelay    time.Duration
	lease       time.Duration
}

func defaultAck() ackConfig {
	return ackConfig{
		ackMessages: ackWindow,
		ackBytes:    8 << 20,              // a tenth of a second of a fast LAN; the sender keeps as much
		ackDelay:    5 * time.Millisecond, // a hundred ACKs take 20 of them a second
	}
}

// ackWindow is how many messages may be on their way, where nothing else was set: enough for an acknowledgement to be for
// thousands of small messages, of which one that is for hundreds would take a third of the rate, and for one end to go on while the other is held up for a millisecond.
const ackWindow = 32 << 10

// widen sets the high-water marks of a socket whose messages are acknowledged where the user has not.
func (c *config) widen() {
	if _, some := c.offer(); !some {
		return
	}
	if !c.sendHWMGiven {
		c.sendHWM = ackWindow
	}
	if !c.recvHWMGiven {
		c.recvHWM = ackWindow
	}
}

// checkAck finds what acknowledged links cannot be combined with.
func (c *config) checkAck() error {
	def := defaultAck()
	if !c.ack {
		for option, set := range map[string]bool{
			"WithManualAck": c.ackManually, "WithAckDelay": c.ackDelay != def.ackDelay,
			"WithAckCredit": c.ackMessages != def.ackMessages || c.ackBytes != def.ackBytes,
			"WithLease":     c.lease > 0,
		} {
			if set {
				return fmt.Errorf("%w: %s without WithAck", ErrOption, option)
			}
		}
		return nil
	}
	switch {
	case c.durable == nil && (c.typ == zmtp.Sub || c.typ == zmtp.XSub):
		return fmt.Errorf("%w: WithAck on a %s socket without WithDurable: publishers send again only what they keep in a log", ErrOption, c.typ)
	case c.conflate:
		return fmt.Errorf("%w: WithAck and WithConflate exclude each other: what a later message replaces is not handled", ErrOption)
	case c.publishAuthorizer != nil:
		return fmt.Errorf("%w: WithAck and WithPublishAuthorizer exclude each other: Nack what is forbidden", ErrOption)
	case c.lease > 0 && c.keyOrder:
		return fmt.Errorf("%w: WithLease and WithKeyOrder exclude each other: what is given back can go to nobody else while later messages of its key wait here", ErrOption)
	case c.probe || c.hello != nil:
		return fmt.Errorf("%w: WithAck excludes WithProbe and WithHelloMessage: nothing is sent before the peer gives credit", ErrOption)
	}
	return nil
}

// ackTypes are the types of sockets on whose links messages can be acknowledged.
var ackTypes = []zmtp.SocketType{zmtp.Pull, zmtp.Dealer, zmtp.Router, zmtp.Sub, zmtp.XSub}

// WithAck offers acknowledged links to peers. With a peer that offers them as well, at the other end of the same kind of link, messages are acknowledged: the
// sender keeps each until the receiver has handled it, and sends it again, to this receiver or another, when the connection ends before or the receiver asks for
// that (Msg.Nack). So each message is handled at least once; one whose acknowledgement was lost is handled again. Peers that do not offer it,
// libzmq's among them, see plain ZMTP and get each message at most once. transport/zmtp/ACK.md specifies it.
//
// A message received counts as handled when the next one is asked for: by Recv, which acknowledges what the Recv before it returned, or by the next turn of
// a loop over Messages, which acknowledges the message of its last turn. A loop that is left leaves its last message as it is. Msg.Ack does it
// earlier, Msg.Nack refuses. Since a socket does not know which caller of Recv is done with which message, Recv is for one caller at a time then: a
// second one, while the first is in Recv, is ErrState. Loops over Messages know, and may be as many as you like. With WithManualAck nothing
// but Msg.Ack counts, and Recv is for any number of callers.
//
// A message that is not acknowledged when the socket is closed, or its connection ends, goes to another receiver; Close returns nothing of that kind from then on.
// Acknowledgements that were given are sent before the connection ends.
//
// A PUSH, DEALER or ROUTER that sends on acknowledged links has a queue to peers that are connected only, as with WithImmediate. Send gives the message to the peer with the fewest
// messages outstanding, none beyond the credit that a peer gave (WithAckCredit there); WithSendHWM counts messages until they are acknowledged. Both high-water marks are 32768
// messages by default with WithAck. Send returns nil when the message is kept here in memory; while nobody has room it blocks. What comes back from a peer goes to another, or to the next connection, before anything newer;
// a ROUTER keeps it for the same routing id (WithAwayLimit). WithRetry says when a refused message is tried again, WithAttempts and WithDeadLetter what becomes of it in the end: with
// neither WithDeadLetter nor a spool it is dropped then, which is an event and a counter (DropDead, AckStats.DeadLettered). WaitAcked
// waits until all that was sent is acknowledged, Shutdown too, and says how much was left.
//
// It is not for use with WithConflate, WithPublishAuthorizer, WithProbe and WithHelloMessage. Default: off.
func WithAck() Option {
	return only("WithAck", func(c *config) { c.ack = true }, append(sendAckTypes, zmtp.Pull, zmtp.Sub, zmtp.XSub)...)
}

// WithManualAck has messages acknowledged by Msg.Ack alone, not by asking for the next one. As many messages as WithAckCredit says may be
// received and not acknowledged; then no more come until some are. It needs WithAck. Default: off.
func WithManualAck() Option {
	return only("WithManualAck", func(c *config) { c.ackManually = true }, ackTypes...)
}

// WithAckCredit sets how much an acknowledged peer may have sent us that is not acknowledged: messages, and bytes in their frames, which a message may go
// beyond. What waits in the inbox is part of it, so never more than WithRecvHWM and WithRecvHWMBytes say. Zero stops peers, until
// SetAckCredit; 1 gets messages one by one, each when the last is acknowledged. It needs WithAck. Default: 32768 messages, 8 MiB.
func WithAckCredit(messages, bytes int) Option {
	return func(c *config) error {
		if messages < 0 || bytes < 0 {
			return bad("WithAckCredit", fmt.Sprint(messages, ", ", bytes), "want 0 (nothing) or more")
		}
		return only("WithAckCredit", func(c *config) { c.ackMessages, c.ackBytes = messages, bytes }, ackTypes...)(c)
	}
}

// WithAckDelay sets how long an acknowledgement may wait for others before it is sent. It is sent earlier when half of the credit is
// acknowledged, or 256 messages with WithWindow, and when Recv finds nothing to return, or in a stream of
// hundreds of messages has found nothing for about a millisecond. Zero sends each at once. It needs WithAck. Default: 5 ms.
func WithAckDelay(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return bad("WithAckDelay", d, "want 0 or more")
		}
		return only("WithAckDelay", func(c *config) { c.ackDelay = d }, ackTypes...)(c)
	}
}

// WithLease bounds how long the application has a message that Recv, or a loop over Messages, returned on an acknowledged link. One that is neither acknowledged nor refused within d is
// given back to its sender, as by a Nack with the zero value: it is sent again, here or to another receiver, as the next attempt, after the pause of WithRetry, or is a
// dead letter when it has failed as often as WithAttempts says, with the lease as reason. So a handler that hangs in a process that answers does not keep a message for ever. Msg.Extend begins
// the lease anew, for a handler that is at work and gets on.
//
// What the late handler says then settles nothing, and marks nothing in a window: Msg.Ack and Msg.Nack are ErrLease, and the acknowledgement of the next Recv, or of the next turn of a loop, is
// ignored; each such message is counted (AckStats.LateIn), as are all that ran out (AckStats.ExpiredIn, the event LeaseExpired). Nothing stops the late handler: the next attempt may run beside it, unless
// it extends its lease in time and ends when it cannot.
//
// A message that was given back is no part of the credit any more, so that its sender may send another in its place: handlers that hang can be as many as the messages that Recv is asked for. Time
// in the inbox does not count, and what waits there is not given back. But if a lease runs out while nobody is in Recv, senders are told to send nothing until somebody is, so that with
// WithAckCredit of 1 nothing of the same sender waits behind a handler that hangs.
//
// The time is that of a clock that nobody sets. It needs WithAck, concerns no messages that are not acknowledged, and is not for use with WithKeyOrder. Default: zero, no limit.
func WithLease(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return bad("WithLease", d, "want 0 (no limit) or more")
		}
		return only("WithLease", func(c *config) { c.lease = d }, ackTypes...)(c)
	}
}
