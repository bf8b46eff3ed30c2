package socket

import (
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Nack says why a message is refused, and what is to become of it. The zero value asks for it again when its sender thinks fit.
type Nack struct {
	Reject bool          // nobody is to get it again: it becomes a dead letter of its sender's
	After  time.Duration // how long it is to wait before it is sent again, at most 24 h; zero leaves that to the sender
	Reason string        // for a person, and the log of dead letters; 255 bytes of it are sent
}

// RetryAfter is a Nack of a message that may be handled after a while, here or elsewhere.
func RetryAfter(d time.Duration) Nack { return Nack{After: d} }

// Reject is a Nack of a message that nobody can handle, such as one that does not parse.
func Reject(reason string) Nack { return Nack{Reject: true, Reason: reason} }

// Ack acknowledges the message: it is handled, and its sender may forget it. It does not wait; acknowledgements are sent together, as WithAckDelay says. It
// may be called on any copy of the message, by any goroutine, before Release. It returns nil for messages that need no acknowledgement, and when the
// message was acknowledged or refused before, which stays as it was. It is ErrPeerGone when the connection that the message came on has ended, by
// either side: the sender will never know, and the message comes again, here or to another receiver. With WithWindow that is no error, since the copy is
// dropped here; ErrWindow and ErrClosed are then those of a window that has failed or was closed. It is ErrLease when the lease of the message has run out (WithLease).
func (m Msg) Ack() error {
	o := m.from
	if o == nil || o.in == nil {
		return nil
	}
	r := o.in.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := o.lateLocked("ack"); err != nil {
		return err
	}
	r.handledLocked(o)
	return nil
}

// Nack refuses the message: it is not handled, and is sent again, or not, as why says. The rest is as with Ack. How often it is sent again before the
// sender takes it for a dead letter is the sender's choice.
func (m Msg) Nack(why Nack) error {
	o := m.from
	if o == nil || o.in == nil {
		return nil
	}
	in := o.in
	in.r.mu.Lock()
	defer in.r.mu.Unlock()
	err := o.lateLocked("nack")
	if f := o.flight(); f != nil && !errors.Is(err, ErrLease) {
		if f.state != handling {
			return nil
		}
		defer in.r.once.passLocked(f)
	}
	if err != nil {
		return err
	}
	if in.refuseLocked(o.tag(), why) {
		in.r.acks.counts.NackedIn++
	}
	return nil
}

// refuseLocked says that the message is not handled, unless it is settled. receiver.mu is held, and the connection is open.
func (in *inbound) refuseLocked(tag uint64, why Nack) bool {
	if !in.state.Refuse(tag) {
		return false
	}
	in.sayLocked(zmtp.AppendNack(nil, &zmtp.Nack{Tag: tag, Reject: why.Reject, After: why.After, Reason: why.Reason}))
	return true
}

// ackLocked takes what the application acknowledges, unless that is too late. r.mu is held.
func (r *receiver) ackLocked(o *origin) {
	if !r.leases.ranOutLocked(o, true) {
		r.handledLocked(o)
	}
}

// handledLocked is ackLocked for what is in time.
func (r *receiver) handledLocked(o *origin) {
	if f := o.flight(); f != nil {
		r.once.ackLocked(f)
	} else {
		r.settleLocked(o)
	}
}

// lateLocked returns the error for what comes too late to be said. It looks at the clock, which is for once a call: the lease may run out between two looks. receiver.mu is held.
func (o *origin) lateLocked(op string) error {
	switch f := o.flight(); {
	case o.in.r.leases.ranOutLocked(o, op != "extend"):
		return &Error{Op: op, Peer: o.peer.address, Err: ErrLease}
	case f != nil && f.state != handling:
		return nil
	case f != nil && (op == "ack" || op == "extend" && o.in.open):
		return o.in.r.once.lateLocked(f, op)
	case o.in.open, o.in.state.Settled(o.tag()):
		return nil
	}
	return &Error{Op: op, Peer: o.peer.address, Err: fmt.Errorf("%w: %w", ErrPeerGone, errSettled)}
}

// NeedsAck reports whether the message came on an acknowledged link, so that Ack and Nack mean something.
func (m Msg) NeedsAck() bool { return m.from != nil && m.from.in != nil }

// Attempt returns how often the message may have been received, here or elsewhere, this time included: 1 for the first, more if it is sent again because a
// connection ended or somebody refused it, and for what is received after its connection has ended. It is 2 or more for what was in a spool already when its sender was
// started: that does not know what the one before it sent. It is 1 where messages are not acknowledged, and 0 for a zero Msg.
func (m Msg) Attempt() int {
	switch {
	case m.from == nil:
		return 0
	case m.from.in == nil:
		return 1
	}
	return m.from.attempt()
}

// Redelivered reports whether the message may have been received before: Attempt is above 1.
func (m Msg) Redelivered() bool { return m.Attempt() > 1 }

// Mark returns the place of the message in its sender's stream, which is the same whenever it is sent again: what spool.Window tells duplicates by. ok
// is false for messages whose sender does not number them: where they are not acknowledged, or count beyond 2^63-1.
func (m Msg) Mark() (mark spool.Mark, ok bool) {
	if m.from == nil {
		return mark, false
	}
	r, ok := m.from.run()
	number := r.number + m.from.tag() - r.tag
	if !ok || number > zmtp.MaxNumber {
		return mark, false
	}
	return spool.Mark{Stream: r.stream.id, Incarnation: r.stream.incarnation, Number: number}, true
}
