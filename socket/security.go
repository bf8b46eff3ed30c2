package socket

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// HandshakeError is what the Err of a HandshakeFailed event is, by errors.As, when one side refused the other: its Reason says why, such as
// zmtp.MechanismMismatch, zmtp.BadKey, zmtp.Denied by us, zmtp.PeerError for a refusal by the peer, and zmtp.Unanswered for one that
// has our credentials and says nothing, which may mean that we are to try later.
type HandshakeError = zmtp.HandshakeError

// Verdict is the answer to a Request. The zero Verdict lets nobody in.
type Verdict = zmtp.Verdict

// Decision is what a Verdict decides.
type Decision = zmtp.Decision

// The decisions about a peer; the numbers in brackets are the status codes of ZAP (RFC 27).
const (
	Deny     = zmtp.Deny     // the peer is told so, and libzmq never comes back (400)
	Allow    = zmtp.Allow    // the peer comes in (200)
	TryLater = zmtp.TryLater // the connection is closed without a word; peers try again (300)
	Fail     = zmtp.Fail     // the question could not be answered, and the peer is told so (500)
)

// Request asks whether a peer may come in: what it has shown of itself. Only its address, a password, a CURVE key and a TLS name prove anything.
type Request struct {
	Mechanism   string       // NULL, PLAIN or CURVE
	Endpoint    string       // of ours, as bound or as given to Connect
	Address     net.Addr     // of the peer: a *net.TCPAddr for tcp, ws and wss; may be nil
	Credentials *Credentials // of the peer's process, over ipc on Linux; else nil
	TLSName     string       // of the peer's certificate, as Peer.TLSName
	User        string       // PLAIN: any octets the peer likes
	Password    string       // PLAIN: any octets the peer likes
	PublicKey   PublicKey    // CURVE: the client's long-term key, of which it has the secret one
	Identity    string       // as announced, not with PLAIN; any octets the peer likes
	SocketType  string       // as announced, not with PLAIN
	Properties  zmtp.Metadata
}

// authenticated asks whether a peer may come in.
func (c *core) authenticated(ctx context.Context, nc net.Conn, endpoint string, who zmtp.Credentials) Verdict {
	if c.cfg.authenticator == nil {
		return c.unasked(who)
	}
	// Again, since it was let in as far as here: whoever guesses could open many connections first, and guess then.
	if err := c.denials.check(nc.RemoteAddr(), time.Now()); err != nil {
		return Verdict{Decision: TryLater, Reason: err.Error()}
	}
	v := c.ask(ctx, nc, Request{
		Mechanism: who.Mechanism, Endpoint: endpoint, Address: nc.RemoteAddr(), Credentials: credentialsOf(nc), TLSName: verifiedName(tlsOf(nc)),
		User: who.User, Password: who.Password, PublicKey: who.PublicKey,
		Identity: string(who.Peer.Identity), SocketType: string(who.Peer.SocketType), Properties: who.Peer.Metadata,
	})
	if v.Decision == Deny && c.denials != nil {
		c.denials.add(nc.RemoteAddr(), time.Now())
	}
	return v
}

// guessed counts a peer whose handshake ended with err among those that were denied, if it was for the wrong keys: no authenticator hears of these.
func (c *core) guessed(nc net.Conn, err error) {
	if h, ok := errors.AsType[*zmtp.HandshakeError](err); ok && h.Reason == zmtp.BadKey && c.denials != nil {
		c.denials.add(nc.RemoteAddr(), time.Now())
	}
}

// unasked is the verdict where nobody is there to ask: a password that nobody checks lets nobody in, but CURVE has its own proof
// that the client knows our public key, which need not be public.
func (c *core) unasked(who zmtp.Credentials) Verdict {
	if who.Mechanism == "PLAIN" {
		return Verdict{Decision: Deny, Reason: "no authenticator is set that could check the password"}
	}
	return Verdict{Decision: Allow}
}

// answering is a handshake with somebody to ask about the peer.
type answering struct {
	*zmtp.Handshake
	ask    func(zmtp.Credentials) Verdict
	listen func(waits bool) // for the peer to say something
}

// Step is Handshake.Step that goes on behind the questions.
func (h *answering) Step(in []byte) (n int, out []byte, err error) {
	n, out, err = h.Handshake.Step(in)
	for err == nil {
		who, pending := h.Pending()
		if !pending {
			break
		}
		var more []byte
		more, err = h.Answer(h.ask(who))
		out = append(out[:len(out):len(out)], more...)
		if err == nil && n < len(in) {
			var used int
			used, more, err = h.Handshake.Step(in[n:])
			n, out = n+used, append(out, more...)
		}
	}
	return n, out, err
}
