package socket

import (
	"cmp"
	"fmt"
	"time"
)

// EventKind says what an Event reports.
type EventKind uint8

// The kinds of events, in the order of a connection's life.
const (
	Listening       EventKind = iota + 1 // Bind succeeded; Endpoint is the real address
	Accepted                             // a connection came in; the handshake is to follow
	Connected                            // handshake done, either side; Peer is set
	HandshakeFailed                      // the peer is no peer for us; Err says why
	Disconnected                         // a peer is gone; Err is nil when it closed in order
	Retrying                             // a connection attempt failed or ended; the next follows in RetryIn
	AcceptFailed                         // accepting failed, for example for want of file descriptors; it is tried again
	Dropped                              // Count messages were dropped since the last such event, for Reason
	Unbound                              // Unbind or Close released Endpoint
	Subscribed                           // PUB, XPUB and RADIO: Peer is subscribed to Topic, or in that group, now
	Unsubscribed                         // PUB, XPUB and RADIO: Peer is not any more, or it left
	Confirmed                            // SUB, XSUB and DISH: Peer has dealt with all subscriptions so far, see WaitSubscribed
	GaveUp                               // no further attempt is made, as WithReconnectStop or WithoutReconnect asked; Err is the last cause
	Forbidden                            // PUB, XPUB and RADIO: Peer may not have Topic, as Err says (WithTopicAuthorizer)
	Redelivered                          // the connection to Peer ended before it had acknowledged Count messages, which go out again
	DeadLettered                         // a message was given up, as Err says: see WithDeadLetter
	SpoolTrouble                         // the spool could not be read, or from now on no dead letter be written, as Err says; it is tried again. Or it has failed for good, a spool.ErrFailed, once. Or it was damaged when it was opened, a spool.ErrDamaged: what was acknowledged may be sent again
	Resumed                              // publishers with WithSpool, and WithDurable: the subscription Name goes on at message From; To is the last one so far
	Missed                               // likewise: messages From to To, Count of them, are gone from the log and were not handled for Name; Err says why
	WindowTrouble                        // handled messages could not be marked, as Err says, and are not acknowledged; it is tried again, but for an ErrWindow. Or it was damaged when it was opened, a spool.ErrDamaged: Count marks are missing, and what they stand for may be handled again
	Conflicted                           // a message from Peer had the id of another that was handled, as Err says, and was refused for good (WithMessageID)
	LeaseExpired                         // Count messages from Peer were not settled in time, and were given back (WithLease)
	ReloadFailed                         // files of ours changed and cannot be used, as Err says; what they held before stays in force
	SpoolTorn                            // the spool was opened after a crash, and Count bytes at its end, as of a write that had not ended, were cut off: no damage, see WithSpool
	WindowTorn                           // likewise of the window, see WithWindow
)

var eventNames = [...]string{"?", "listening", "accepted", "connected", "handshake failed", "disconnected", "retrying", "accept failed", "dropped", "unbound",
	"subscribed", "unsubscribed", "subscriptions confirmed", "gave up", "forbidden", "redelivered", "dead letter", "trouble with the spool", "resumed", "missed", "trouble with the window", "conflict", "lease expired", "reload failed",
	"torn end of the spool", "torn end of the window"}

// String returns the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return eventNames[0]
}

// DropReason says why messages were dropped.
type DropReason uint8

// Why messages are dropped. Nothing is dropped for a reason that is not listed here.
const (
	DropFull         DropReason = iota + 1 // the peer's queue stood at the high-water mark (PUB, XPUB, RADIO, XSUB, REP, ROUTER with WithMandatory(false))
	DropPeerGone                           // queued for a peer that left (accepted connections, replies)
	DropClosed                             // still queued when Close or the end of the linger period came
	DropUnwanted                           // a reply nobody waits for, or a message the pattern does not take
	DropMalformed                          // a message without the envelope its pattern demands, or of more frames than it allows
	DropDisconnected                       // queued for an endpoint that Disconnect removed
	DropConflated                          // a later message took its place (WithConflate, the policy Conflate)
	DropUnroutable                         // sent to a routing id that is not connected (ROUTER with WithMandatory(false))
	DropForbidden                          // the peer may not send it to us (WithPublishAuthorizer)
	DropDead                               // a dead letter that nobody takes: see WithDeadLetter
	DropRefused                            // too large for the peer, as it said (WithPeerLimits) or as the connection that ended within it again and again has it
	DropQuota                              // the spool was full, and is to drop the oldest (WithSpool)
	DropDamaged                            // what the spool held of it could not be read any more (WithSpool)
	dropReasons
)

var dropNames = [...]string{"?", "queue full", "peer gone", "closed", "unwanted", "malformed", "disconnected", "conflated", "unroutable", "forbidden", "dead letter", "refused", "quota", "damaged"}

// String returns the reason in words.
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return dropNames[0]
}

// Event is something that happened to a socket's connections or messages.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Endpoint string        // the endpoint concerned, as bound or as given to Connect
	Peer     *Peer         // the peer concerned, where there is one
	Err      error         // the cause, where there is one
	RetryIn  time.Duration // Retrying: when the next attempt starts
	Topic    string        // Subscribed, Unsubscribed and Forbidden
	Name     string        // of the durable subscription, where one is concerned; SpoolTorn: "dead" if it is the end of the dead letters
	From, To uint64        // Resumed and Missed: numbers of messages in the publisher's log
	Reason   DropReason    // Dropped
	Refusal  Refusal       // HandshakeFailed and Disconnected: what was wrong with the peer, zero for nothing
	Count    uint64        // Dropped, Redelivered, DeadLettered, Missed, WindowTrouble, Conflicted, LeaseExpired, SpoolTorn and WindowTorn
}

// String returns the event in one line of what prints.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Endpoint != "" {
		s += " " + e.Endpoint
	}
	if e.Peer != nil {
		s += " peer " + e.Peer.Address()
	}
	switch e.Kind {
	case Forbidden:
		s += fmt.Sprintf(" %q", cmp.Or(e.Name, e.Topic))
	case Subscribed, Unsubscribed:
		s += fmt.Sprintf(" %q", e.Topic)
	case Resumed, Missed:
		s += fmt.Sprintf(" %s %d to %d", e.Name, e.From, e.To)
	case Retrying:
		s += fmt.Sprintf(" in %s", e.RetryIn.Round(time.Millisecond))
	case Dropped:
		s += fmt.Sprintf(" %d (%s)", e.Count, e.Reason)
	case LeaseExpired:
		s += fmt.Sprintf(" of %d", e.Count)
	case SpoolTorn, WindowTorn:
		s += fmt.Sprintf(": %d bytes cut off", e.Count)
		if e.Name != "" {
			s += " (" + e.Name + ")"
		}
	}
	if e.Err != nil {
		s += ": " + printable(e.Err.Error())
	}
	return s
}
