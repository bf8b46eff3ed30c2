package socket

import (
	"errors"

	"github.com/meshmq/meshmq/socket/internal/ack"
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Refusal says what was wrong with a peer whose connection we refused or ended. It stands in HandshakeFailed and Disconnected events, and
// Stats.Refused counts by it. The socket goes on in any case.
type Refusal uint8

// What peers are refused for. In brackets the option that sets the limit, where there is one.
const (
	RefusedNotZMTP    Refusal = iota + 1 // it speaks something else, such as HTTP or TLS, or asks for another page
	RefusedVersion                       // it speaks ZMTP 1.0 or 2.0 where that is not let in
	RefusedMechanism                     // it wants another security mechanism, or the same part in it
	RefusedKey                           // what it sent does not open with the keys that it should have, or was sent before
	RefusedTLS                           // it did not come to terms with us on TLS: its certificate, or ours, or its version
	RefusedDenied                        // the authenticator does not let it in
	RefusedDeferred                      // the authenticator has it try later
	RefusedUndecided                     // the authenticator could not say, or not in time (WithAuthTimeout)
	RefusedSocketType                    // its socket type may not talk to ours
	RefusedIdentity                      // its identity is malformed, too long (WithMaxIdentity) or taken (WithHandover)
	RefusedProtocol                      // it broke the grammar of ZMTP: frames, commands, metadata
	RefusedTimeout                       // its handshake took too long (WithHandshakeTimeout)
	RefusedProperties                    // its handshake was too large (WithMaxHandshakeBytes, WithMaxProperties)
	RefusedHandshakes                    // too many handshakes were under way (WithMaxHandshakes)
	RefusedPeers                         // too many peers are connected (WithMaxPeers, WithMaxPeersPerAddress)
	RefusedFilter                        // an accept filter said no (WithAcceptFilter, WithAcceptFrom)
	RefusedSize                          // a message, frame or command is too large (WithMaxMessageSize, WithMaxFrameSize)
	RefusedFrames                        // a message has too many frames (WithMaxFrames)
	RefusedTopics                        // too many subscriptions, or too long ones (WithMaxSubscriptions, WithMaxTopic, WithMaxSubscriptionBytes, WithMaxDurables)
	RefusedPings                         // too many PINGs (WithMaxPings)
	RefusedForbidden                     // it did what an authorizer forbids (WithDisconnectForbidden)
	RefusedSlow                          // it read too slowly (WithDropPolicy(Disconnect))
	RefusedAck                           // it broke the rules of acknowledged links: more messages than it had credit for, or words about some never sent
	RefusedStream                        // it sends a stream that another sender, which is connected, sends as well, or (WithWindow) other messages in the place of those
	refusals
)

var refusalNames = [...]string{"?", "not ZMTP", "old version", "mechanism", "key", "TLS", "denied", "deferred", "undecided", "socket type", "identity", "protocol", "timeout",
	"properties", "handshakes", "peers", "filter", "size", "frames", "topics", "pings", "forbidden", "slow", "acknowledgements", "stream"}

// String returns the refusal in a word or two.
func (r Refusal) String() string {
	if int(r) < len(refusalNames) {
		return refusalNames[r]
	}
	return refusalNames[0]
}

// limitError is an error about a limit, of a kind.
type limitError struct {
	error
	refusal Refusal
}

func (e *limitError) Unwrap() error { return e.error }

// kinds are the refusals that errors stand for. The first that fits counts.
var kinds = []struct {
	err     error
	refusal Refusal
}{
	{ErrRefused, RefusedFilter},
	{transport.ErrTLS, RefusedTLS},
	{transport.ErrUpgrade, RefusedNotZMTP},
	{transport.ErrFragments, RefusedSize},
	{transport.ErrWebSocket, RefusedProtocol},
	{ErrForbidden, RefusedForbidden},
	{ErrRoutingID, RefusedIdentity},
	{link.ErrTooManyFrames, RefusedFrames},
	{errHandshake, RefusedTimeout},
	{errSlow, RefusedSlow},
	{ack.ErrViolation, RefusedAck},
	{link.ErrTag, RefusedAck},
	{ErrStream, RefusedStream},
	{ErrGroup, RefusedTopics},
	{ErrTooLarge, RefusedSize},
	{zmtp.ErrSealed, RefusedKey},
	{zmtp.ErrReplayed, RefusedKey},
	{zmtp.ErrUnsealed, RefusedProtocol},
	{zmtp.ErrSealFlags, RefusedProtocol},
	{zmtp.ErrCommand, RefusedProtocol},
	{zmtp.ErrFrameFlags, RefusedProtocol},
	{zmtp.ErrFrameSize, RefusedProtocol},
	{zmtp.ErrOldLength, RefusedProtocol},
}

// refusalsOf are the refusals that the reasons of a failed handshake stand for; for those that are not here it is RefusedProtocol.
var refusalsOf = map[zmtp.Reason]Refusal{
	zmtp.NotZMTP: RefusedNotZMTP, zmtp.OldVersion: RefusedVersion, zmtp.MechanismMismatch: RefusedMechanism,
	zmtp.IncompatibleType: RefusedSocketType, zmtp.BadIdentity: RefusedIdentity, zmtp.TooLarge: RefusedProperties,
	zmtp.RoleMismatch: RefusedMechanism, zmtp.BadKey: RefusedKey, zmtp.Replayed: RefusedKey,
	zmtp.Denied: RefusedDenied, zmtp.Deferred: RefusedDeferred, zmtp.Undecided: RefusedUndecided,
	zmtp.PeerError: 0, zmtp.Unanswered: 0, // it is the peer that refused us
}

// refusalOf tells from the error that a connection ended with what was wrong with the peer; zero is nothing.
func refusalOf(err error) Refusal {
	if limit := new(*limitError); errors.As(err, limit) {
		return (*limit).refusal
	}
	if h := new(*zmtp.HandshakeError); errors.As(err, h) {
		refusal, known := refusalsOf[(*h).Reason]
		if !known {
			refusal = RefusedProtocol
		}
		return refusal
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.refusal
		}
	}
	return 0
}

// report emits an event about a connection that failed or ended, and counts it if that was for a refusal.
func (c *core) report(e Event) {
	e.Refusal = refusalOf(e.Err)
	if e.Refusal != 0 {
		c.refused[e.Refusal].Add(1)
	}
	c.hub.emit(e)
}
