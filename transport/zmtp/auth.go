package zmtp

import "fmt"

// Credentials are what a peer has shown of itself when it is to be decided whether it may come in.
type Credentials struct {
	Mechanism string // NULL, PLAIN or CURVE
	User      string // PLAIN: as sent, any octets
	Password  string // PLAIN: as sent, any octets
	// PublicKey is the long-term key of a CURVE client, which has proved that it has the secret one.
	PublicKey [32]byte
	// Peer is what the peer says of itself. A PLAIN client says it only when it has been let in.
	Peer Peer
}

// Decision is what is decided about a peer that has shown its credentials.
type Decision uint8

// The decisions. The zero value lets nobody in. The numbers in brackets are the status codes of ZAP (RFC 27), which the peer is sent.
const (
	Deny     Decision = iota // the peer is told in an ERROR command ("400"), after which libzmq never comes back
	Allow                    // the handshake goes on (200)
	TryLater                 // the connection is closed without a word, after which peers try again (300)
	Fail                     // the question could not be answered, which the peer is told in an ERROR command ("500")
)

var decisions = [...]string{"deny", "allow", "try later", "fail"}

// String returns the decision in words.
func (d Decision) String() string {
	if int(d) < len(decisions) {
		return decisions[d]
	}
	return fmt.Sprintf("decision %d", uint8(d))
}

// Verdict is the answer to Credentials.
type Verdict struct {
	Decision Decision
	UserID   string   // who the peer is to us, with Allow; may be empty
	Metadata Metadata // what else is known of it, with Allow; it is shown beside what the peer says of itself
	Reason   string   // why not, for our side alone: the peer is told no more than the number
}

// Pending returns the credentials that wait for Answer, if any do: Step takes nothing until it is called. The server of PLAIN and
// CURVE always asks, NULL where Config.Authenticate is set.
func (h *Handshake) Pending() (Credentials, bool) {
	if h.pending == nil || h.err != nil {
		return Credentials{}, false
	}
	return *h.pending, true
}

// Answer ends the wait that Pending reports. out and err are those of Step, which is to be called again with what it has left. Without
// anything pending it does nothing.
func (h *Handshake) Answer(v Verdict) (out []byte, err error) {
	if h.pending == nil || h.err != nil {
		return nil, h.err
	}
	h.out, h.pending = nil, nil
	switch v.Decision {
	case Allow:
		h.peer.UserID, h.peer.Granted = v.UserID, v.Metadata
		h.err = h.mechanism.allowed(h)
	case TryLater:
		h.err = refuse(Deferred, "%s", because(v.Reason, "the authenticator has the peer try later"))
	case Deny:
		h.out = AppendError(h.out, "400")
		h.err = refuse(Denied, "%s", because(v.Reason, "the authenticator does not let the peer in"))
	default:
		h.out = AppendError(h.out, "500")
		h.err = refuse(Undecided, "%s", because(v.Reason, "the authenticator could not decide"))
	}
	return h.out, h.err
}

func because(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return printable([]byte(reason))
}

// ask has Pending return what the peer has shown.
func (h *Handshake) ask(c Credentials) {
	c.Mechanism, c.Peer = h.mechanism.name(), h.peer
	h.pending = &c
}
