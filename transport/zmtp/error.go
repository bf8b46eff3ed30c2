package zmtp

import "fmt"

// Reason says why a handshake ended.
type Reason int

// Reasons. The peer's program or configuration has to change after each of them, but for Deferred and Unanswered; a handshake that merely breaks
// off has none.
const (
	NotZMTP           Reason = iota + 1 // the peer speaks something else: HTTP, TLS, ...
	OldVersion                          // the peer speaks ZMTP 1.0 or 2.0
	MechanismMismatch                   // the peer wants another security mechanism
	IncompatibleType                    // the two socket types may not talk to each other
	PeerError                           // the peer refused us with an ERROR command
	MalformedCommand                    // a frame or command that does not parse
	UnexpectedCommand                   // a good frame that has no place in the handshake
	BadMetadata                         // properties that do not parse
	BadIdentity                         // an identity that is too long or begins with a zero
	TooLarge                            // a command above Config.MaxCommand
	RoleMismatch                        // both sides are servers, or both clients, of the mechanism
	BadKey                              // a key that is none, or a box that does not open: the other side has other keys than this one thinks
	Replayed                            // a nonce that is not larger than the one before it
	Denied                              // we refused the peer: Verdict.Decision was Deny
	Deferred                            // we sent the peer away for now: TryLater
	Undecided                           // we could not find out whether the peer may come in: Fail
	Unanswered                          // the peer has our credentials and says nothing, or closes: it may have us try later
)

var reasons = [...]string{
	NotZMTP:           "not a ZMTP peer",
	OldVersion:        "old ZMTP version",
	MechanismMismatch: "mechanism mismatch",
	IncompatibleType:  "incompatible socket type",
	PeerError:         "refused by the peer",
	MalformedCommand:  "malformed command",
	UnexpectedCommand: "unexpected command",
	BadMetadata:       "bad metadata",
	BadIdentity:       "bad identity",
	TooLarge:          "command too large",
	RoleMismatch:      "role mismatch",
	BadKey:            "wrong key",
	Replayed:          "replayed command",
	Denied:            "denied",
	Deferred:          "told to try later",
	Undecided:         "could not decide",
	Unanswered:        "no answer to our credentials",
}

// String is the reason in a few lower-case words.
func (r Reason) String() string {
	if r < NotZMTP || int(r) >= len(reasons) {
		return fmt.Sprintf("reason %d", int(r))
	}
	return reasons[r]
}

// HandshakeError says why a handshake ended. Handshake returns it as a pointer.
type HandshakeError struct {
	Reason Reason
	Detail string // one line of printable ASCII, whatever the peer sent
}

// Error is the reason and its detail.
func (e *HandshakeError) Error() string { return e.Reason.String() + ": " + e.Detail }

// unanswered is what the client's side of a mechanism makes of silence.
func unanswered() *HandshakeError {
	return refuse(Unanswered, "a libzmq whose ZAP handler has us try later (300) says nothing")
}

func refuse(r Reason, format string, args ...any) *HandshakeError {
	return &HandshakeError{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
