package socket

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// retryConfig is what options set about messages that are not acknowledged.
type retryConfig struct {
	retryMin     time.Duration
	retryMax     time.Duration
	maxAttempts  int
	onDeadLetter func(DeadLetter)
	ackRequired  bool
	awayLimit    time.Duration
}

func defaultRetry() retryConfig {
	return retryConfig{
		retryMin:    100 * time.Millisecond, // as WithReconnect
		retryMax:    30 * time.Second,       // a receiver's dependency may need that long to come back
		maxAttempts: 10,                     // with the pauses above about a minute
		awayLimit:   30 * time.Second,       // a process restarts in less
	}
}

// sendAckTypes are the types of sockets that send messages which are acknowledged.
var sendAckTypes = []zmtp.SocketType{zmtp.Push, zmtp.Dealer, zmtp.Router}

// keepTypes are the types of sockets that keep messages until they are acknowledged, in memory or a spool.
var keepTypes = append(slices.Clone(sendAckTypes), zmtp.Pub, zmtp.XPub)

// checkRetry finds what is of no use without acknowledgements.
func (c *config) checkRetry() error {
	def := defaultRetry()
	switch {
	case c.ack && c.reroute:
		return fmt.Errorf("%w: WithAck and WithReroute: with WithAck all that a peer left goes to others", ErrOption)
	case c.ack, c.openSpool != nil:
		return nil
	}
	for _, o := range []struct {
		option string
		set    bool
	}{
		{"WithRetry", c.retryMin != def.retryMin || c.retryMax != def.retryMax},
		{"WithAttempts", c.maxAttempts != def.maxAttempts},
		{"WithDeadLetter", c.onDeadLetter != nil},
		{"WithAckRequired", c.ackRequired},
		{"WithAwayLimit", c.awayLimit != def.awayLimit},
	} {
		if o.set {
			return fmt.Errorf("%w: %s without WithAck or WithSpool", ErrOption, o.option)
		}
	}
	return nil
}

// retryPolicy returns when messages that failed are delivered again.
func (c *config) retryPolicy() retryPolicy {
	return retryPolicy{min: c.retryMin, max: c.retryMax, limit: c.maxAttempts, random: rand.Float64}
}

// WithRetry sets the pause before a message that its receiver refused (Msg.Nack) is delivered again, to whichever peer has room: it is drawn
// evenly below a bound that doubles with each failed delivery from min to max (full jitter). A receiver that names a delay is obeyed instead. It holds for all
// receivers, those that come later too, and ends with the process: what waits in a spool is delivered at once when that is opened again. What
// waits in memory counts as what is outstanding does: while it is as many messages, or bytes, as WithSendHWM and WithSendHWMBytes say, no new ones are taken (on a ROUTER: for that routing id). In a spool
// it is 4,096 messages, for each durable subscription, whatever those say: while so many wait, or cannot be written as dead letters, nothing newer is delivered, to any receiver, and Send goes on. It
// needs WithAck or WithSpool. Default: 100 ms to 30 s.
func WithRetry(min, max time.Duration) Option {
	return func(c *config) error {
		if min <= 0 || max < min {
			return bad("WithRetry", fmt.Sprint(min, ", ", max), "want 0 < min <= max")
		}
		return only("WithRetry", func(c *config) { c.retryMin, c.retryMax = min, max }, keepTypes...)(c)
	}
}

// WithAttempts sets after how many failed deliveries a message becomes a dead letter. A delivery has failed when the receiver refused it, when the message is larger than
// all receivers' WithMaxMessageSize, for which it is not sent, and when the connection ended while the message was being written, or before the receiver had said what became of it: it may be what
// ends its receivers. It does not count if one of the two left in order (Close, Shutdown, Kick, Disconnect), or the receiver had given up all that it had by SetAckCredit(0, 0), which looks the same; zero in one place stops senders and no more. Nor does what a durable subscriber refuses that is subscribed to nothing any more. Since a connection ends with all messages on it, whichever
// was the cause, one that has failed so often in company is delivered once more, with nothing else on its way to that receiver, and given up if that one ends as well. It needs WithAck
// or WithSpool, which counts on when the sender is started anew. Default: 10; zero means no limit.
func WithAttempts(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return bad("WithAttempts", n, "want 0 (no limit) or more")
		}
		return only("WithAttempts", func(c *config) { c.maxAttempts = n }, keepTypes...)(c)
	}
}

// WithDeadLetter has f called with each message that is given up: rejected for good, or failed as WithAttempts says. The calls are
// made one at a time, on a goroutine of the socket's own; the frames are f's. f must not call Close or Shutdown of the same socket, or RemoveDurable of the
// same name, which wait for it. Where messages are kept in memory, as many as WithSendHWM says may wait for f; then Send blocks, to that routing id on a ROUTER, until f returns: so f should not
// wait in Send of the same socket. In a spool they stay where they are meanwhile. Without it dead letters are counted (Stats.Acks), reported as events, and dropped (DropDead). It needs WithAck or WithSpool.
func WithDeadLetter(f func(DeadLetter)) Option {
	return func(c *config) error {
		if f == nil {
			return bad("WithDeadLetter", "nil", "want a function")
		}
		return only("WithDeadLetter", func(c *config) { c.onDeadLetter = f }, keepTypes...)(c)
	}
}

// WithAckRequired has a socket that sends refuse peers that do not acknowledge messages (HandshakeFailed), in place of sending them each message at most
// once. It needs WithAck or WithSpool. Default: off.
func WithAckRequired() Option {
	return only("WithAckRequired", func(c *config) { c.ackRequired = true }, sendAckTypes...)
}

// WithAwayLimit sets how long a ROUTER keeps messages for a peer that has gone without acknowledging them, so that it gets them when it comes back under the same
// routing id. Then they are dead letters. It needs WithAck or WithSpool. Default: 30 s; zero keeps them for good.
func WithAwayLimit(d time.Duration) Option {
	return period("WithAwayLimit", d, func(c *config) { c.awayLimit = d })
}
